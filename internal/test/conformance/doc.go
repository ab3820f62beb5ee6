// Package conformance holds the public packages against real brokers: each
// QoS in each version of MQTT on Mosquitto, the embedded broker and RabbitMQ.
package conformance
