// Package mqtt is MQTT at the data layer: a service publishes with the client that is
// generated from its .proto.
//
//	b, cleanup, err := mqttbroker.Open(c, nil, logger) // a broker that is down is not an error
//	if err != nil {
//		return err
//	}
//	defer cleanup()
//	events := reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(b))
//	return events.SaveEventReport(ctx, report) // nil: the broker has acknowledged it
//
// Below it, [Broker] implements kratos-transport's broker.Broker, and [Publisher] sends bytes
// with many messages in flight. The package also has the options for connecting, publishing
// and subscribing, which transport/mqtt uses, too.
//
// # Names of options
//
// An option of a kratos-transport type is named as kratos-transport names its own:
// With… for a broker (broker.Option), WithSubscribe… for a subscription, WithPublish…
// for one publish, WithRequest… for one request. Names that exist in kratos-transport's
// mqtt package exist here with the same signature, so its users change only the import.
// An option that reads a configuration message ends in Config: WithConnectionConfig.
//
// An option of a type of this module has no prefix: OutboxKeepAcknowledged, TopicPrefix. The
// options for one message (event.QoS, Retain, Expiry, ID, Header, OrderingKey,
// ContentType, SkipOutbox, RetryUnrouted) are the same for every sender: generated clients
// and [Publisher] take them directly, [Broker] through [WithCallOptions].
//
// If two options set the same thing, the later one applies. A field that a
// configuration message leaves unset keeps its earlier value.
//
// Where this package and transport/mqtt are imported together, the aliases are
// mqttbroker and mqttserver.
package mqtt
