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

// evidence is what is known of a connection that ended, and all that its cause
// is decided by.
type evidence struct {
	code        *CodeError    // the broker's DISCONNECT, MQTT 5
	err         error         // what ended the socket
	late        bool          // not at once after a suspect that was alone
	life        time.Duration // from CONNACK to the end
	paused      bool          // we did not read, and the broker may have been blocked
	subscribing crowd         // filters of a SUBSCRIBE without its SUBACK
	publishing  crowd         // messages on it without an acknowledgement
	sent        string        // topic of a QoS 0 message sent just before
	short       int           // connections in a row before it that ended at once and in order
	cleared     int           // losses in a row before it that ended at once, and whose suspects were all acknowledged since
}

// crowd is a number of things of which the first is named.
type crowd struct {
	first string
	n     int
}

// judge says why a connection ended: by what the broker said, by what we did,
// by what was in flight, by which packet was just sent, and only then by timing.
func (e *evidence) judge() event.LossError {
	said := e.said()
	l := event.LossError{Cause: said, Err: e.err}
	if e.code != nil {
		l.Code, l.Err = e.code.Code, e.code
	}
	if said != "" && said != event.CausePublish && said != event.CauseSubscribe {
		return l
	}
	cause, who := e.suspects(said)
	switch {
	case e.code == nil && e.paused:
		l.Cause = event.CauseBackPressure
	case e.isContested():
		l.Cause, l.Contested = event.CauseNetwork, true
		if closedInOrder(e.err) {
			l.Cause = event.CauseTakenOver
		}
	case who.n > 0:
		l.Cause, l.Topic, l.Suspects = cause, who.first, who.n
	case e.code != nil: // it blames a packet of ours, and there is none
		l.Cause = event.CauseProtocol
	case !closedInOrder(e.err):
		l.Cause = event.CauseNetwork
	case e.isShort() && e.short+1 >= takeoverLosses:
		l.Cause = event.CauseTakenOver
	default:
		l.Cause = event.CauseClosed
	}
	return l
}

// suspects chooses between a subscription and messages where both were on
// their way: the code may say which, else it is the subscription, because more
// brokers end connections over one.
func (e *evidence) suspects(said event.Cause) (event.Cause, crowd) {
	publishing := e.publishing
	if publishing.n == 0 && e.sent != "" {
		publishing = crowd{e.sent, 1}
	}
	if e.subscribing.n > 0 && (said != event.CausePublish || publishing.n == 0) {
		return event.CauseSubscribe, e.subscribing
	}
	return event.CausePublish, publishing
}

// isShort reports whether the other side ended the connection in order soon after
// CONNACK, which a second client with our client id makes it do. On MQTT 5 it has
// to say so [MQTT-3.1.4-3], but Mosquitto 2.0.11 does not.
func (e *evidence) isShort() bool { return e.isSoon() && closedInOrder(e.err) }

// isSoon is isShort in whatever way: a broker that has not read all that a busy
// client sent resets.
func (e *evidence) isSoon() bool {
	return e.code == nil && e.life < takeoverWindow && endedByPeer(e.err)
}

// isContested reports whether messages were on their way, but messages are not to
// blame: those of the losses before were all taken a moment later.
func (e *evidence) isContested() bool {
	return e.isSoon() && e.publishing.n > 0 && e.subscribing.n == 0 && e.sent == "" && e.cleared >= takeoverLosses
}

// said is what the broker's DISCONNECT, or the way in which the socket ended,
// leaves no doubt about. "" leaves it open; that of a packet means that one of
// this kind is to blame.
func (e *evidence) said() event.Cause {
	switch {
	case errors.Is(e.err, errLimits):
		return event.CauseLimits
	case e.code != nil:
		return causeOfCode(e.code.Code)
	case endedByPeer(e.err):
		return ""
	case isTimeout(e.err):
		return event.CauseKeepAlive
	case isBreach(e.err):
		return event.CauseProtocol
	}
	return event.CauseNetwork
}

// causeOfCode sorts the reason codes of a DISCONNECT. Those that name no packet
// in particular leave the cause open.
func causeOfCode(code byte) event.Cause {
	switch code {
	case wire.ReasonSessionTakenOver:
		return event.CauseTakenOver
	case wire.ReasonServerUnavailable, wire.ReasonServerBusy, wire.ReasonServerShuttingDown,
		wire.ReasonAdministrativeAction, wire.ReasonMaximumConnectTime, wire.ReasonBanned:
		return event.CauseShutdown
	case wire.ReasonUseAnotherServer, wire.ReasonServerMoved:
		return event.CauseMoved
	case wire.ReasonMessageRateTooHigh, wire.ReasonQuotaExceeded, wire.ReasonConnectionRateExceeded,
		wire.ReasonReceiveMaximumExceeded:
		return event.CauseQuota
	case wire.ReasonKeepAliveTimeout:
		return event.CauseKeepAlive
	case wire.ReasonTopicNameInvalid, wire.ReasonTopicAliasInvalid, wire.ReasonPayloadFormatInvalid,
		wire.ReasonRetainNotSupported, wire.ReasonQoSNotSupported:
		return event.CausePublish
	case wire.ReasonTopicFilterInvalid, wire.ReasonSharedNotSupported, wire.ReasonSubIDNotSupported,
		wire.ReasonWildcardNotSupported:
		return event.CauseSubscribe
	}
	return ""
}

// endedByPeer reports whether the other side closed, in order or not: brokers
// that refuse a packet do either, and an unread packet turns FIN into RST.
func endedByPeer(err error) bool {
	return closedInOrder(err) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, syscall.ECONNABORTED)
}

func closedInOrder(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isTimeout reports whether we gave up waiting for the other side.
func isTimeout(err error) bool {
	return errors.Is(err, link.ErrNoPingresp) || errors.Is(err, errNoAck) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// isBreach reports whether we ended the connection over a packet of the broker.
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

// lossError is a loss as the error of a connection.
func lossError(l *event.LossError) error {
	return &event.Error{Op: opConnect, Reason: reasonOfLoss(l), Cause: l}
}

func reasonOfLoss(l *event.LossError) event.Reason {
	switch {
	case l.Cause == event.CauseTakenOver:
		return event.ReasonTakenOver
	case l.Code != 0:
		return reasonOfCode(l.Code)
	}
	return event.ReasonNetwork
}
