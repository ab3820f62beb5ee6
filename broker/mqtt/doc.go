// Package mqtt is MQTT at the data layer: a publisher for the services that
// send events, behind kratos-transport's broker interface. Constructors and
// option names are those of kratos-transport's package of the same name, so
// that its users change the import and keep the code.
//
// Where this package and transport/mqtt are imported together, the aliases
// are mqttbroker and mqttserver.
package mqtt
