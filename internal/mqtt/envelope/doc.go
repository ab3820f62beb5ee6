// Package envelope is the way between a message of a program and the bytes of an
// MQTT message: codec and content type, CloudEvents, headers, ids, ordering keys,
// the context that travels along, and the limits of all of these.
//
// A message that leaves is a [Message]: [Settings.Encode] encodes its body and
// collects its headers, and [Settings.Seal] gives it its form on the wire. A message
// that arrived is an [Event]: [Settings.Open] checks it against the limits and reads
// what came beside the payload, and [Event.Decode] decodes it.
//
// The package knows no connection and none of the frameworks around it: codecs,
// metadata and propagators are handed in.
package envelope
