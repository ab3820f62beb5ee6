// Package mqtt is MQTT at the server layer: a Kratos transport.Server whose
// handlers are typed subscribers. Constructors and option names are those of
// kratos-transport's package of the same name, beside the names that Kratos'
// own servers use (Middleware, Use, Logger).
//
// Where this package and broker/mqtt are imported together, the aliases are
// mqttserver and mqttbroker.
package mqtt
