// Package envelope converts between messages of a program and MQTT messages: codec and
// content type, CloudEvents, headers, ids, ordering keys, the context that travels along,
// and the limits of all of these.
//
// An outgoing message is a [Message]: [Settings.Seal] encodes its body, collects its
// headers and converts it to its form on the wire. A received message is
// an [Event]: [Settings.Open] checks it against the limits and reads its headers and event
// attributes, and [Event.Decode] decodes it.
//
// The package knows neither connections nor the frameworks around it: codecs, metadata and
// propagators are passed in.
package envelope
