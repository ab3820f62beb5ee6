// Package decode turns payloads into text that a person can read, and such text into
// payloads. It knows messages by their descriptors, so that it needs no generated code.
package decode
