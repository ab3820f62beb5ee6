// Package relay sends the entries of an outbox store and deletes those that the broker
// acknowledged. It depends on stores and on a function that sends; it imports nothing of
// MQTT.
package relay
