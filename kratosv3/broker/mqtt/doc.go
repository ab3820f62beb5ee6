// Package mqtt is MQTT at the data layer of a service on Kratos v3. [Open] makes a [Broker]
// from a configuration, and generated publishers take it through [NewClientConn]. The package
// also has the options for connecting, publishing and subscribing, which
// kratosv3/transport/mqtt uses, too.
//
// Names are those of broker/mqtt, which is the same for Kratos v2; a service that only uses
// generated code moves by changing the import. What broker/mqtt takes from kratos-transport
// (broker.WithAddress, broker.WithCodec, broker.Headers, …) is in this package under the same
// name, except for options of one message: [Broker.Publish] takes those of generated calls,
// event.QoS, Retain, ID, Header and so on.
//
// If two options set the same thing, the later one applies. A field that a configuration
// message leaves unset keeps its earlier value. Nothing is an error before [Broker.Start], or
// the first other method: it returns all problems of all options together.
//
// Where this package and kratosv3/transport/mqtt are imported together, the aliases are
// mqttbroker and mqttserver.
package mqtt
