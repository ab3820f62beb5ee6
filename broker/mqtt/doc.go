// Package mqtt is MQTT at the data layer: a [Broker] for the services that send
// events, which is kratos-transport's broker.Broker, too, and every option of how
// to connect, publish and subscribe, for this package and transport/mqtt alike.
//
// # Names of options
//
// An option of a type of kratos-transport begins as that type's own do: With… for a
// broker (broker.Option), WithSubscribe… for a subscription, WithPublish… for one
// publish, WithRequest… for one request. The names that kratos-transport's package
// of the same name has are here with the same signature, so that its users change
// the import and keep the code.
//
// An option of a type of this module has no prefix: OutboxHold, TopicPrefix. How one
// message is sent (event.QoS, Retain, Expiry, ID, Header, OrderingKey, ContentType,
// Direct, RetryUnrouted) is said in one way, whoever sends it: the calls of a
// generated client and a [Publisher] take these options as they are, a [Broker] by
// [WithCallOptions].
//
// Of two options for the same thing the later one counts, and what a message of the
// configuration leaves unset keeps what was said before it.
//
// Where this package and transport/mqtt are imported together, the aliases
// are mqttbroker and mqttserver.
package mqtt
