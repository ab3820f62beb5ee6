package console

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

// Options configures a [Console].
type Options struct {
	// Recorder has what the page shows of the past. Required.
	Recorder *Recorder
	// Service is the name of the service, and Version its version, for the title. Both may be "".
	Service, Version string
	// Token is what a person has to know to use the console, at least [remote.MinToken] bytes.
	// Without one, "", only browsers on this machine are served, and [Console.Check] refuses an
	// address beyond loopback.
	Token string
	// Operator acts on letters, subscriptions, the outbox and retained messages. nil: the page
	// shows none of these.
	Operator *operator.Operator
	// Publisher sends the events of the page's forms. nil: the contract has no forms.
	Publisher event.ClientConn
	// Audit is called after each publish of a form, with the name "publish", as that of
	// [operator.Options] is after each act; and after refused logins, with the name "login" and
	// the address of the caller in By, at most once a second. It must be safe for concurrent use.
	// It may be nil.
	Audit func(operator.Action)
	// Probe has the health of the clients, which are those of its Watch. Required; it is a hook, too.
	Probe *observe.Probe
	// Files declare the events. Default: all files that are linked into the program, which have no
	// comments; see [operator.OpenDescriptors].
	Files *protoregistry.Files
}

// Console is the handler of the page and what it reads and does. It may be mounted under any
// prefix, with or without [http.StripPrefix]. It is safe for concurrent use.
type Console struct {
	o        Options
	login    *login
	state    state
	forms    forms
	remote   http.Handler // nil without an operator
	decoder  decode.Decoder
	contract contract
	assets   func() assets // compressed at the first request, not when the service starts
	actions  map[string]action
	streams  atomic.Int64 // that are open

	closing context.Context
	close   context.CancelFunc
}

// New returns a console. The error names what is missing or wrong in the options. Events with
// wrong options are left out of the contract, which has the reason.
func New(o Options) (*Console, error) {
	var errs []error
	if o.Recorder == nil {
		errs = append(errs, errors.New("console: no Recorder, want that of the hooks"))
	}
	if o.Probe == nil {
		errs = append(errs, errors.New("console: no Probe, want that of the clients"))
	}
	if o.Token != "" && len(o.Token) < remote.MinToken {
		errs = append(errs, fmt.Errorf("console: the token has %d bytes, want at least %d", len(o.Token), remote.MinToken))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if o.Files == nil {
		o.Files = protoregistry.GlobalFiles
	}
	c := &Console{o: o, decoder: decode.New(o.Files), assets: sync.OnceValue(loadAssets), login: newLogin(o.Token, o.Recorder.now, o.Audit)}
	c.state = state{recorder: o.Recorder, probe: o.Probe, operator: o.Operator}
	c.forms = forms{publisher: o.Publisher, decoder: c.decoder, audit: o.Audit}
	if o.Operator != nil {
		c.remote = remote.New(o.Operator, o.Token).Handler()
	}
	services, err := eventproto.Open(o.Files)
	for _, s := range services {
		c.forms.methods = append(c.forms.methods, s.Methods...)
	}
	c.contract = contractOf(services, err)
	c.actions = c.routes()
	c.closing, c.close = context.WithCancel(context.Background())
	return c, nil
}

// Check returns an error if the console must not be mounted on a listener with this address: it
// is beyond loopback and there is no token.
func (c *Console) Check(listens net.Addr) error { return c.login.guard.Check(listens) }

// Close ends the streams of the open pages, so that a server can stop. Pages connect again by
// themselves; further streams are refused. It may be called more than once.
func (c *Console) Close() { c.close() }

// ServeHTTP serves the page at every path that ends in a slash, its files below assets/, and
// what it reads and does below api/.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	path := r.URL.Path
	if i := strings.LastIndex(path, "/api/"); i >= 0 {
		c.serveAPI(w, r, path[i+len("/api/"):])
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "want GET", http.StatusMethodNotAllowed)
		return
	}
	if i := strings.LastIndex(path, "/assets/"); i >= 0 {
		c.assets().serve(w, r, path[i+len("/assets/"):])
		return
	}
	if !strings.HasSuffix(path, "/") {
		addSlash(w, r)
		return
	}
	c.assets().serve(w, r, "index.html")
}

// addSlash leads to the same path with a slash at its end, which the page's links need. The
// address is relative: what a proxy or http.StripPrefix took off the path is not known here.
func addSlash(w http.ResponseWriter, r *http.Request) {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	last := path[strings.LastIndexByte(path, '/')+1:]
	if last == "" { // http.StripPrefix has left nothing
		last = "."
	}
	w.Header().Set("Location", "./"+last+"/")
	w.WriteHeader(http.StatusTemporaryRedirect)
}
