// Package guide runs the examples of docs/guide/events.md.
package guide
