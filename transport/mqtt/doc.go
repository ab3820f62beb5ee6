// Package mqtt is MQTT at the server layer: a Kratos transport.Server that calls the methods
// of a service which is generated from a .proto.
//
//	srv := mqttserver.Open(c, nil, logger)
//	reportv1.RegisterReportEventsMQTTServer(srv, reports) // a handler acknowledges by returning nil
//	return srv                                            // for kratos.Server(srv)
//
// [RegisterSubscriber] and [RegisterReplier] register handlers without a .proto.
//
// # Names of options
//
// An option of [Server] that kratos-transport's package of the same name has keeps
// that name, With…, and its signature. Ours, and those of Kratos' own servers, have
// no prefix: [Middleware], [ReplyTopics], [AllowedMetadata]. All that concerns the
// connection, publishing, dead letters and single subscriptions is an option of
// broker/mqtt, given by [WithBrokerOptions], or with a registration.
//
// Where this package and broker/mqtt are imported together, the aliases are
// mqttserver and mqttbroker.
package mqtt
