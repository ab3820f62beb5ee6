// Package guide runs what docs/guide/events.md shows.
package guide
