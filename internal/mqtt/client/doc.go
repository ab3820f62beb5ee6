// Package client is what the public MQTT packages stand on: sessions with the broker, the
// way of a message out and the pipeline between the subscriber's socket and the handlers.
// It knows nothing of Kratos.
//
// # What lives how long
//
//   - [Settings] are changed by options, until [New] resolves them.
//   - [Client] has what they were resolved to, which does not change.
//   - [Lasting] is shared by the clients that take each other's place when the settings
//     change while the client is stopped.
//   - A run is what lives between Start and Stop: sessions, queues, goroutines.
//
// # What crosses to the fronts
//
// The options of broker/mqtt and transport/mqtt change plain values, which this package
// takes:
//
//   - of one publish: [github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope.Message].
//     A front sets Body, Codec, Headers and MessageID from kratos-transport's message, and
//     QoS, Retain, Props, Key, SkipOutbox, Again and the rest from its options. [Client.Publish]
//     is the one way in, for ready bytes too; with Done it does not wait for the outcome.
//   - of one subscription: [Subscription], whose Typed describes how its messages are read. Its
//     handler gets a [Delivery], which is an envelope.Event with the decoded Body; a front
//     wraps that in kratos-transport's event, and calls middleware there.
//   - of the whole client: its [Settings], which hold [Config].
//
// What is Kratos' comes in as a value or a small interface of envelope: codecs, headers of a
// context, propagators, spans.
package client

import (
	"crypto/tls"
	"errors"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

var (
	errBroad  = errors.New("the filter has no level of text, and takes in what others publish, too: want a narrower one, or the option WithSubscribeBroad")
	errSystem = errors.New("the broker's own topics, which begin with $SYS, need the option WithSubscribeBroad")
)

// The words of the parts that the public packages need.
type (
	// Message is an application message on its way out.
	Message = session.Message
	// Properties are the MQTT 5 properties of a message.
	Properties = session.Properties
	// ID names a message.
	ID = session.ID
	// Stamp completes a message when it is sent.
	Stamp = session.Stamp
	// UserProperty is one user property of MQTT 5.
	UserProperty = session.UserProperty
	// Inbound is an application message that arrived.
	Inbound = session.Inbound
	// Error is the error of every operation.
	Error = event.Error
	// Reason classifies an [Error].
	Reason = event.Reason
	// Address is one broker.
	Address = link.Address
	// Proxy is what connections go through.
	Proxy = link.Proxy
	// Protocol is the version of MQTT.
	Protocol = session.Protocol
	// LaterError is the error of a handler that could not begin.
	LaterError = delivery.LaterError
)

// DefaultPublishTimeout bounds a publish whose context has no deadline.
const DefaultPublishTimeout = session.DefaultPublishTimeout

// The protocols of a [Config].
const (
	Auto      = session.Auto
	Version31 = session.Version31
	Version5  = session.Version5
)

// NewID makes an id.
func NewID() ID { return session.NewID() }

// ParseAddresses reads broker URLs and reports all problems at once, none of
// which contains a secret.
func ParseAddresses(raw []string) ([]Address, error) { return link.ParseAddresses(raw) }

// ParseProxy reads the URL of a proxy, or "environment"; "" means no proxy. The error has
// no secret.
func ParseProxy(raw string) (Proxy, error) { return link.ParseProxy(raw) }

// LoadTLS reads the files of a TLS connection and reports all problems at
// once.
func LoadTLS(ca, cert, key, serverName string, insecure bool) (*tls.Config, error) {
	return link.LoadTLS(ca, cert, key, serverName, insecure)
}

// Filter builds the filter to subscribe to: shared within group unless that is
// empty. Filters that take in more than one may mean, as "#" does, need broad.
func Filter(filter, group string, broad bool) (string, error) {
	if topic.IsBroad(filter) && !broad {
		cause := errBroad
		if strings.Contains(filter, "$SYS") {
			cause = errSystem
		}
		return "", &event.Error{Op: "subscribe", Topic: filter, Reason: event.ReasonBadTopic, Cause: cause}
	}
	if group == "" {
		return filter, nil
	}
	shared, err := topic.Share(group, filter)
	if err != nil {
		return "", &event.Error{Op: "subscribe", Topic: filter, Reason: event.ReasonBadTopic, Cause: err}
	}
	return shared, nil
}

// ValidateSharePrefix checks what a broker has in the place of $share.
func ValidateSharePrefix(prefix string) error { return topic.ValidateSharePrefix(prefix) }

// ValidateFilter checks a topic filter, shared or not.
func ValidateFilter(filter string) error {
	if err := topic.ValidateFilter(filter); err != nil {
		return &event.Error{Op: "subscribe", Topic: logsafe.Clip(filter), Reason: event.ReasonBadTopic, Cause: err}
	}
	return nil
}

// ValidateTopic checks a topic name.
func ValidateTopic(name string) error {
	if err := topic.ValidateName(name); err != nil {
		return &event.Error{Op: "publish", Topic: logsafe.Clip(name), Reason: event.ReasonBadTopic, Cause: err}
	}
	return nil
}
