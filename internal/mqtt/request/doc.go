// Package request is what MQTT 5's request and response [MQTT-4.10] need on either side,
// and what they must not be abused for: which response topics a request may name, what a
// requester may have published, how a reply says that the request failed, and which
// reply answers which request. It publishes nothing itself.
package request
