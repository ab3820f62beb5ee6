// Package mqtt is MQTT at the data layer. Its [Broker] implements kratos-transport's
// broker.Broker for services that send events. The package also has the options for
// connecting, publishing and subscribing, which transport/mqtt uses, too.
//
// # Names of options
//
// An option of a kratos-transport type is named as kratos-transport names its own:
// With… for a broker (broker.Option), WithSubscribe… for a subscription, WithPublish…
// for one publish, WithRequest… for one request. Names that exist in kratos-transport's
// mqtt package exist here with the same signature, so its users change only the import.
//
// An option of a type of this module has no prefix: OutboxHold, TopicPrefix. The
// options for one message (event.QoS, Retain, Expiry, ID, Header, OrderingKey,
// ContentType, Direct, RetryUnrouted) are the same for every sender: generated clients
// and [Publisher] take them directly, [Broker] through [WithCallOptions].
//
// If two options set the same thing, the later one applies. A field that a
// configuration message leaves unset keeps its earlier value.
//
// Where this package and transport/mqtt are imported together, the aliases are
// mqttbroker and mqttserver.
package mqtt
