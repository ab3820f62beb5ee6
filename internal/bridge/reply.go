package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
	"github.com/kratos-mqtt/kratos-mqtt/internal/printable"
)

// User properties of a reply that is an error. They are names that the
// CloudEvents carrier can take.
const (
	statusCode    = "statuscode"
	statusReason  = "statusreason"
	statusMessage = "statusmessage"
)

// maxStatus keeps an error text from making a reply too large.
const maxStatus = 1 << 10

// ReplyWanted reports whether a message is a request. Its response topic comes
// from whoever may publish: it must be a topic name that starts with one of the
// allowed prefixes, or the error is final.
func (b *Broker) ReplyWanted(e *Event) (bool, error) {
	topic, _ := e.reply()
	if topic == "" {
		return false, nil
	}
	err := engine.ValidateTopic(topic)
	if err == nil && !b.state().mayReply(topic) {
		err = errors.New("response topic is not allowed")
	}
	if err == nil {
		return true, nil
	}
	return false, &event.Error{Op: "reply", Topic: clip(topic), Reason: event.ReasonBadTopic, Cause: err}
}

func (s *state) mayReply(topic string) bool {
	return !strings.HasPrefix(topic, "$") && slices.ContainsFunc(s.replyPrefixes, func(prefix string) bool {
		return under(topic, prefix)
	})
}

// under reports whether a topic starts with the levels of a prefix: "a" allows "a"
// and "a/b", but not "ab".
func under(topic, prefix string) bool {
	rest, ok := strings.CutPrefix(topic, prefix)
	return ok && (rest == "" || rest[0] == '/' || prefix == "" || prefix[len(prefix)-1] == '/')
}

// Reply publishes the answer to a request: body, in the codec of the
// request when its content type names one, or failure, as a status. It returns
// nil when the broker has it. A body that cannot be sent is a failure, too.
func (b *Broker) Reply(ctx context.Context, e *Event, qos byte, body any, header []engine.UserProperty, failure error) error {
	topic, correlation := e.reply()
	send := func(own PublishSettings, body any) error {
		own.QoS, own.Correlation, own.isReply, own.Direct = qos, correlation, true, true
		// An attempt whose time is up still has an answer to give.
		return b.state().publish(context.WithoutCancel(ctx), topic, broker.NewMessage(body),
			PublishOption(func(p *PublishSettings) { *p = own }))
	}
	if failure == nil {
		err := send(PublishSettings{User: header, codec: pick(e.codec, e.ContentType(), body)}, body)
		if !unsendable(err) {
			return err
		}
		failure, header = kerrors.InternalServer("BAD_REPLY", err.Error()), nil
	}
	return send(PublishSettings{User: append(slices.Clone(header), statusOf(failure)...), noCodec: true}, []byte{})
}

// unsendable says that no attempt at publishing can succeed.
func unsendable(err error) bool {
	var e *event.Error
	return errors.As(err, &e) && (e.Reason == event.ReasonCodec || e.Reason == event.ReasonTooLarge || e.Reason == event.ReasonBadRequest)
}

// statusOf returns the properties of an error.
func statusOf(err error) []engine.UserProperty {
	k := kerrors.FromError(err)
	if errors.Is(err, context.DeadlineExceeded) {
		k = kerrors.GatewayTimeout(string(event.ReasonTimeout), "the handler's time was up")
	}
	message := k.Message
	if len(message) > maxStatus {
		message = message[:maxStatus]
	}
	return []engine.UserProperty{
		{Key: statusCode, Value: strconv.Itoa(int(k.Code))},
		{Key: statusReason, Value: clean(k.Reason)},
		{Key: statusMessage, Value: clean(message)},
	}
}

// clean keeps to the text that MQTT takes [MQTT-1.5.4-1], [MQTT-1.5.4-2].
func clean(s string) string { return strings.ReplaceAll(strings.ToValidUTF8(s, ""), "\x00", "") }

// failureIn returns the error that a reply carries.
func failureIn(header []engine.UserProperty) error {
	text, ok := last(header, statusCode)
	if !ok {
		return nil
	}
	code, err := strconv.Atoi(text)
	if err != nil {
		return kerrors.InternalServer("BAD_REPLY", fmt.Sprintf("status code %q of the reply is no number", clip(text)))
	}
	if code < 300 {
		return nil
	}
	reason, _ := last(header, statusReason)
	message, _ := last(header, statusMessage)
	return kerrors.New(code, printable.Line(reason), printable.Line(message))
}
