package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// begin connects for the first time with a version, and reports whether that succeeded.
func (e *exam) begin(ctx context.Context) (Finding, bool) {
	before := time.Now()
	c, err := e.open(ctx)
	if err != nil {
		return e.unreachable(err), false
	}
	took := time.Since(before)
	defer c.close()
	f := Finding{Grade: OK, Result: "accepted", Values: map[string]any{"connect_ms": milliseconds(took)}}
	if e.version != wire.V5 {
		return f, true
	}
	k := &c.welcome
	f.Values["receive_maximum"], f.Values["topic_alias_maximum"] = k.ReceiveMaximum, k.TopicAliasMaximum
	limits := []string{fmt.Sprintf("receive maximum %d", k.ReceiveMaximum)}
	if n := k.MaximumPacketSize; n > 0 {
		f.Values["maximum_packet_size"] = n
		limits = append(limits, fmt.Sprintf("packets up to %d bytes", n))
	}
	if k.MaximumQoS < 2 {
		limits = append(limits, fmt.Sprintf("QoS up to %d", k.MaximumQoS))
	}
	if k.HasServerKeepAlive {
		f.Values["server_keep_alive_s"] = k.ServerKeepAlive
		limits = append(limits, fmt.Sprintf("keep-alive %d s", k.ServerKeepAlive))
	}
	for _, c := range []struct {
		name      string
		available bool
	}{
		{"no retained messages", k.RetainAvailable},
		{"no wildcards", k.WildcardAvailable},
		{"no shared subscriptions", k.SharedAvailable},
		{"no subscription identifiers", k.SubIDAvailable},
	} {
		if !c.available {
			limits = append(limits, c.name)
		}
	}
	f.Result += ", announces " + strings.Join(limits, ", ")
	return f, true
}

// unreachable explains why there is no connection.
func (e *exam) unreachable(err error) Finding {
	f := Finding{Grade: Missing, Result: problem(err)}
	var refused *refusedError
	var closed *closedError
	var dns *net.DNSError
	switch {
	case errors.As(err, &refused):
		f.Advice = adviceFor(refused)
	case errors.As(err, &closed):
		if e.version == wire.V5 {
			f.Advice = "MQTT 5 is not supported: set connection.protocol to 3.1.1, or the preset, so that no attempt is made"
		}
	case isMalformed(err):
		f.Advice = "what listens there does not speak MQTT: check the port, and the scheme of the address (mqtt, mqtts, ws or wss)"
	case errors.As(err, &dns):
		f.Advice = "the name of the broker has no address: check it, and the name server"
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Advice = "nothing listens on that port: check address and port, and that the broker runs"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		f.Advice = "nothing answers: a firewall may drop the packets, or the port belongs to another protocol, such as mqtts or ws"
	}
	return f
}

func isMalformed(err error) bool {
	_, ok := errors.AsType[*wire.MalformedError](err)
	return ok
}

func adviceFor(e *refusedError) string {
	switch {
	case e.version == wire.V5 && (e.code == wire.ReasonUnsupportedVersion || e.code == wire.ReturnUnacceptableVersion):
		return "MQTT 5 is not supported: set connection.protocol to 3.1.1, or the preset, so that no attempt is made"
	case e.version != wire.V5 && e.code == wire.ReturnUnacceptableVersion:
		return "MQTT 3.1.1 is not supported: set connection.protocol to 5"
	case e.code == wire.ReasonBadUserNameOrPassword, e.version != wire.V5 && e.code == wire.ReturnBadUserNameOrPassword:
		return "the broker does not know this user name and password: check --username and --password-file"
	case e.code == wire.ReasonNotAuthorized, e.version != wire.V5 && e.code == wire.ReturnNotAuthorized:
		return "the broker does not let this client in: check --username and --password-file, its client certificate, and the broker's rules for client ids, such as that of " + `"doctor-..."`
	}
	return ""
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
