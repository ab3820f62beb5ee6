// Package mqtt is MQTT at the server layer of a service on Kratos v3: a transport.Server whose
// handlers are typed subscribers. [Open] makes a [Server] from a configuration, and generated
// code registers services with it.
//
// Names are those of transport/mqtt, which is the same for Kratos v2. All that concerns the
// connection, publishing, dead letters and single subscriptions is an option of
// kratosv3/broker/mqtt, given by [WithBrokerOptions], or with a registration.
//
// Where this package and kratosv3/broker/mqtt are imported together, the aliases are
// mqttserver and mqttbroker.
package mqtt
