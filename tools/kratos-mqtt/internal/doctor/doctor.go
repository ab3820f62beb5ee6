package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Options are what to measure.
type Options struct {
	// Connection is how to connect; the broker is its first address.
	Connection *v1.Connection
	// Prefix is put before the topics of the doctor, which begin with a random level otherwise.
	Prefix string
	// Forbidden is a topic on which the user may not publish. Default: one below $SYS.
	Forbidden string
	// MaxQueue is the number of messages that are left waiting in a session. Default 2000.
	MaxQueue int
	// MaxPayload is the size of the largest payload that is sent, in bytes. Default 1 MiB.
	MaxPayload int
	// Wait is how long an answer of the broker may take. Default 5 s.
	Wait time.Duration
	// Quiet is the time without a message after which none is expected. Default 1 s.
	Quiet time.Duration
	// Begin is called before each check. Default: nothing is called.
	Begin func(check, protocol string)
}

func (o *Options) defaults() {
	o.MaxQueue, o.MaxPayload = cmp.Or(o.MaxQueue, 2000), cmp.Or(o.MaxPayload, 1<<20)
	o.Wait, o.Quiet = cmp.Or(o.Wait, 5*time.Second), cmp.Or(o.Quiet, time.Second)
	if o.Begin == nil {
		o.Begin = func(string, string) {}
	}
}

// ErrRefused means that the broker accepted no connection; the findings state why.
var ErrRefused = errors.New("the broker accepted no connection")

// check is one measurement.
type check struct {
	name string
	only wire.Version // 0 means both versions
	once bool         // with either version
	run  func(ctx context.Context, e *exam) (Finding, error)
}

// Names of checks that others use.
const (
	checkConnect   = "connect"
	checkTLS       = "tls"
	checkQoS       = "qos"
	checkShared    = "shared_subscriptions"
	checkPayload   = "payload"
	checkSession   = "session"
	checkUnrouted  = "unrouted"
	checkRoundTrip = "round_trip"
	checkSys       = "sys"
)

// checks returns all checks in their order.
func checks() []check {
	return []check{
		{name: checkTLS, once: true},   // before any connection
		{name: checkConnect, run: nil}, // for each version
		{name: checkSys, once: true, run: sys},
		{name: checkQoS, run: qos},
		{name: "wildcards", run: wildcards},
		{name: "retained", run: retained},
		{name: checkShared, run: shared},
		{name: "headers", only: wire.V5, run: headers},
		{name: checkSession, run: sessionKept},
		{name: "queue", run: queue},
		{name: checkPayload, run: payload},
		{name: "in_flight", run: inFlight},
		{name: "forbidden_publish", run: forbidden},
		{name: checkUnrouted, only: wire.V5, run: unrouted},
		{name: "topic_aliases", only: wire.V5, run: topicAliases},
		{name: checkRoundTrip, run: roundTrip},
	}
}

// Run measures a broker. With [ErrRefused] the report is there as well.
func Run(ctx context.Context, o Options) (*Report, error) {
	o.defaults()
	t, err := newTarget(o.Connection, o.Wait, o.MaxPayload+64<<10)
	if err != nil {
		return nil, err
	}
	t.messages = o.MaxQueue + 2*maxSys
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	name := "doctor-" + hex.EncodeToString(random[:])
	e := &exam{target: t, o: o, name: name, prefix: name + "/", report: &Report{Broker: t.address.String(), Protocols: []string{}}}
	if o.Prefix != "" {
		e.prefix = strings.TrimSuffix(o.Prefix, "/") + "/" + e.prefix
	}
	defer e.cleanUp(ctx)
	if t.address.Secure() {
		o.Begin(checkTLS, "")
		e.report.Findings = append(e.report.Findings, t.certificate(ctx))
	}
	for _, v := range []wire.Version{wire.V311, wire.V5} {
		if p := o.Connection.GetProtocol(); p != "" && p != "auto" && p != v.String() {
			continue
		}
		e.version = v
		if err := e.examine(ctx); err != nil {
			return nil, err
		}
	}
	e.report.conclude()
	if len(e.report.Protocols) == 0 {
		return e.report, ErrRefused
	}
	return e.report, nil
}

// exam is a run over one broker.
type exam struct {
	*target
	o       Options
	name    string // of client ids
	prefix  string // of topics
	version wire.Version
	// accepted is the last version with which the broker let the doctor in.
	accepted wire.Version
	clients  int
	topics   int
	kept     []string // client ids of sessions that are to be ended
	set      []string // topics with retained messages
	report   *Report
}

// examine runs all checks with one version.
func (e *exam) examine(ctx context.Context) error {
	e.o.Begin(checkConnect, e.version.String())
	f, ok := e.begin(ctx)
	e.add(checkConnect, f)
	if !ok {
		return ctx.Err()
	}
	e.accepted, e.report.Protocols = e.version, append(e.report.Protocols, e.version.String())
	for _, c := range checks() {
		if c.run == nil || c.only != 0 && c.only != e.version || c.once && len(e.report.Protocols) > 1 {
			continue
		}
		protocol := e.version.String()
		if c.once {
			protocol = ""
		}
		e.o.Begin(c.name, protocol)
		f, err := c.run(ctx, e)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			f = Finding{Grade: Unknown, Result: problem(err)}
		}
		f.Check, f.Protocol = c.name, protocol
		e.report.Findings = append(e.report.Findings, f)
	}
	return nil
}

func (e *exam) add(check string, f Finding) {
	f.Check, f.Protocol = check, e.version.String()
	e.report.Findings = append(e.report.Findings, f)
}

// problem returns an error in words that fit a result.
func problem(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "the broker did not answer in time"
	}
	return err.Error()
}

// topic returns a new topic.
func (e *exam) topic() string {
	e.topics++
	return e.prefix + strconv.Itoa(e.topics)
}

// client returns a new client id.
func (e *exam) client() string {
	e.clients++
	return e.name + "-" + strconv.Itoa(e.clients)
}

// open connects with a new client id and a session that ends with the connection.
func (e *exam) open(ctx context.Context) (*conn, error) {
	return e.connect(ctx, login{version: e.version, clientID: e.client(), clean: true})
}

// pair returns a connection with a subscription and one to publish on, and a function that
// ends both. A refused subscription is an error.
func (e *exam) pair(ctx context.Context, filter string, qos byte) (sub, pub *conn, end func(), err error) {
	if sub, err = e.open(ctx); err != nil {
		return nil, nil, nil, err
	}
	code, err := sub.subscribe(filter, qos)
	if err == nil && code >= wire.ReasonError {
		err = fmt.Errorf("SUBSCRIBE to %q: %s", filter, codeText(wire.TypeSuback, e.version, code))
	}
	if err == nil {
		pub, err = e.open(ctx)
	}
	if err != nil {
		sub.abort()
		return nil, nil, nil, err
	}
	return sub, pub, func() { sub.close(); pub.close() }, nil
}

// cleanUp deletes retained messages and ends sessions, also if ctx is over.
func (e *exam) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.wait)
	defer cancel()
	if len(e.kept)+len(e.set) == 0 {
		return
	}
	e.version = e.accepted
	for _, id := range e.kept {
		if c, err := e.connect(ctx, login{version: e.version, clientID: id, clean: true}); err == nil {
			c.close()
		}
	}
	if len(e.set) == 0 {
		return
	}
	c, err := e.open(ctx)
	if err != nil {
		return
	}
	defer c.close()
	for _, topic := range e.set {
		_, _ = c.say(topic, nil, 1, func(p *wire.Publish) { p.Retain = true })
	}
}
