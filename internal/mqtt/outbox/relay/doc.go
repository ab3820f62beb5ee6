// Package relay sends what an outbox keeps, and deletes what the broker acknowledged.
// It knows stores, and a function that sends: nothing of MQTT.
package relay
