// Package doctor measures what an MQTT broker does, with packets of its own: what the broker
// announces is not always what it does, and some brokers announce nothing. It uses topics and
// client ids below a random prefix, and ends what it began: sessions, subscriptions and retained
// messages.
package doctor
