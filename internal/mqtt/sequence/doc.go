// Package sequence numbers what is published on a topic, and notices which numbers are
// missing among what arrives. The numbers are no part of MQTT: they travel as user
// properties, or as the "sequence" extension attributes of CloudEvents.
package sequence
