package session

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// evidence is what is known about a connection that ended. Its cause is
// determined from this alone.
type evidence struct {
	code        *CodeError    // the broker's DISCONNECT, MQTT 5
	err         error         // what ended the socket
	late        bool          // the end came too late to be the answer to a suspect that was alone
	life        time.Duration // time from CONNACK to the end
	login       bool          // a re-authentication was not answered
	paused      bool          // reading was paused, so the broker may have been blocked
	subscribing crowd         // filters of an unanswered SUBSCRIBE
	publishing  crowd         // unacknowledged messages of the connection
	sent        string        // topic of a QoS 0 message that was sent just before
	short       int           // consecutive previous connections that the broker closed in order soon after CONNACK
	cleared     int           // consecutive previous losses soon after CONNACK whose suspects were all acknowledged since
}

// crowd is a number of things, of which the first is named.
type crowd struct {
	first string
	n     int
}

// judge determines why a connection ended, in this order: from what the broker
// stated, from what we did, from what was in flight, from the packet that was
// just sent, and only then from the timing.
func (e *evidence) judge() event.LossError {
	said := e.said()
	l := event.LossError{Kind: said, Cause: e.err}
	if e.code != nil {
		l.Code, l.Cause = e.code.Code, e.code
	}
	if said != "" && said != event.LossPublish && said != event.LossSubscribe {
		return l
	}
	cause, who := e.suspects(said)
	switch {
	case e.code == nil && e.paused:
		l.Kind = event.LossBackPressure
	case e.isContested():
		l.Kind, l.Contested = event.LossNetwork, true
		if closedInOrder(e.err) {
			l.Kind = event.LossTakenOver
		}
	case who.n > 0:
		l.Kind, l.Topic, l.Suspects = cause, who.first, who.n
	case e.code != nil: // the code blames a packet of ours, but there is none
		l.Kind = event.LossProtocol
	case !closedInOrder(e.err):
		l.Kind = event.LossNetwork
	case e.isShort() && e.short+1 >= takeoverLosses:
		l.Kind = event.LossTakenOver
	default:
		l.Kind = event.LossClosed
	}
	return l
}

// suspects chooses between a subscription and messages if both were in flight.
// The reason code may decide; otherwise it is the subscription, because more
// brokers end connections because of one.
func (e *evidence) suspects(said event.LossKind) (event.LossKind, crowd) {
	publishing := e.publishing
	if publishing.n == 0 && e.sent != "" {
		publishing = crowd{e.sent, 1}
	}
	if e.subscribing.n > 0 && (said != event.LossPublish || publishing.n == 0) {
		return event.LossSubscribe, e.subscribing
	}
	return event.LossPublish, publishing
}

// isShort reports whether the peer closed the connection in order soon after
// CONNACK, as happens when a second client uses our client id. On MQTT 5 the
// broker must send a reason code for that [MQTT-3.1.4-3], but Mosquitto 2.0.11
// does not.
func (e *evidence) isShort() bool { return e.isSoon() && closedInOrder(e.err) }

// isSoon is like isShort but accepts any way of ending: a broker that has not
// read everything from a busy client causes a reset.
func (e *evidence) isSoon() bool {
	return e.code == nil && e.life < takeoverWindow && endedByPeer(e.err)
}

// isContested reports whether messages were in flight but are not to blame,
// because all suspects of the previous losses were acknowledged soon
// afterwards.
func (e *evidence) isContested() bool {
	return e.isSoon() && e.publishing.n > 0 && e.subscribing.n == 0 && e.sent == "" && e.cleared >= takeoverLosses
}

// said returns the cause that the broker's DISCONNECT, or the way in which the
// socket ended, states beyond doubt. "" means that the cause is open; the cause
// of a packet means that a packet of this kind is to blame.
func (e *evidence) said() event.LossKind {
	switch {
	case errors.Is(e.err, errLimits):
		return event.LossLimits
	case isAuthentication(e.err), e.login && e.code != nil && reasonOfCode(e.code.Code) == event.ReasonNotAuthorized:
		return event.LossAuthentication
	case e.code != nil:
		return causeOfCode(e.code.Code)
	case endedByPeer(e.err):
		return ""
	case isTimeout(e.err):
		return event.LossKeepAlive
	case isBreach(e.err):
		return event.LossProtocol
	}
	return event.LossNetwork
}

// causeOfCode maps the reason codes of a DISCONNECT to causes. It returns ""
// for a code that does not concern a particular packet.
func causeOfCode(code byte) event.LossKind {
	switch code {
	case wire.ReasonSessionTakenOver:
		return event.LossTakenOver
	case wire.ReasonServerUnavailable, wire.ReasonServerBusy, wire.ReasonServerShuttingDown,
		wire.ReasonAdministrativeAction, wire.ReasonMaximumConnectTime, wire.ReasonBanned:
		return event.LossShutdown
	case wire.ReasonUseAnotherServer, wire.ReasonServerMoved:
		return event.LossMoved
	case wire.ReasonMessageRateTooHigh, wire.ReasonQuotaExceeded, wire.ReasonConnectionRateExceeded,
		wire.ReasonReceiveMaximumExceeded:
		return event.LossQuota
	case wire.ReasonKeepAliveTimeout:
		return event.LossKeepAlive
	case wire.ReasonTopicNameInvalid, wire.ReasonTopicAliasInvalid, wire.ReasonPayloadFormatInvalid,
		wire.ReasonRetainNotSupported, wire.ReasonQoSNotSupported:
		return event.LossPublish
	case wire.ReasonTopicFilterInvalid, wire.ReasonSharedNotSupported, wire.ReasonSubIDNotSupported,
		wire.ReasonWildcardNotSupported:
		return event.LossSubscribe
	}
	return ""
}

// endedByPeer reports whether the peer closed the connection, with FIN or RST:
// brokers that refuse a packet use either, and an unread packet turns FIN into
// RST.
func endedByPeer(err error) bool {
	return closedInOrder(err) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNABORTED)
}

func closedInOrder(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isTimeout reports whether we stopped waiting for the peer.
func isTimeout(err error) bool {
	return errors.Is(err, link.ErrNoPingresp) || errors.Is(err, errNoAck) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// isBreach reports whether we ended the connection because a packet of the
// broker broke the rules.
func isBreach(err error) bool {
	for _, breach := range []error{errEarly, errConnackTwice, errAlias, errPresent, errOverrun} {
		if errors.Is(err, breach) {
			return true
		}
	}
	var (
		malformed *wire.MalformedError
		frame     *link.FrameError
	)
	return errors.As(err, &malformed) || errors.As(err, &frame)
}

// isAuthentication reports whether enhanced authentication ended the connection.
func isAuthentication(err error) bool {
	for _, cause := range []error{errAuth, errAuthMethod, errAuthOrder, errAuthMore, errAuthSilent, errAuthLong} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// lossError returns a loss as the error of a connection.
func lossError(l *event.LossError) error {
	return &event.Error{Op: opConnect, Reason: reasonOfLoss(l), Cause: l}
}

func reasonOfLoss(l *event.LossError) event.Reason {
	switch {
	case l.Kind == event.LossTakenOver:
		return event.ReasonTakenOver
	case l.Code != 0:
		return reasonOfCode(l.Code)
	}
	return event.ReasonNetwork
}
