// Package conformance tests the public packages against real brokers: each QoS in each
// version of MQTT on Mosquitto, the in-process broker and RabbitMQ.
package conformance
