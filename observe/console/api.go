package console

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// maxBody is the size of a request in bytes.
const maxBody = 1 << 20

// action is what a path below api/ does. Its reply is JSON, unless it wrote one itself and
// returns nil.
type action struct {
	method string
	do     func(w http.ResponseWriter, r *http.Request) (any, error)
}

func (c *Console) routes() map[string]action {
	return map[string]action{
		"info":     {http.MethodGet, c.info},
		"flow":     {http.MethodGet, c.state.serveFlow},
		"health":   {http.MethodGet, c.state.serveHealth},
		"topics":   {http.MethodGet, c.state.serveTopics},
		"contract": {http.MethodGet, func(http.ResponseWriter, *http.Request) (any, error) { return c.contract, nil }},
		"stream":   {http.MethodGet, c.stream},
		"publish":  {http.MethodPost, c.forms.publish},
		"logout":   {http.MethodPost, c.login.leave},
	}
}

// serveAPI serves what the page reads and does.
func (c *Console) serveAPI(w http.ResponseWriter, r *http.Request, name string) {
	w.Header().Set("Cache-Control", "no-store")
	if name == "login" {
		c.answer(w, r, action{http.MethodPost, c.login.enter})
		return
	}
	r = c.login.recognize(r)
	if err := c.login.guard.HTTP(r); err != nil {
		refuse(w, err)
		return
	}
	if method, ok := strings.CutPrefix(name, "operator/"); ok && c.remote != nil && !strings.Contains(method, "/") {
		c.remote.ServeHTTP(w, r)
		return
	}
	a, ok := c.actions[name]
	if !ok {
		refuse(w, status.Error(codes.NotFound, "no such path"))
		return
	}
	c.answer(w, r, a)
}

func (c *Console) answer(w http.ResponseWriter, r *http.Request, a action) {
	if r.Method != a.method {
		w.Header().Set("Allow", a.method)
		writeJSON(w, http.StatusMethodNotAllowed, problem{"Unimplemented", "want " + a.method})
		return
	}
	reply, err := a.do(w, r)
	switch {
	case err != nil:
		refuse(w, err)
	case reply != nil:
		writeJSON(w, http.StatusOK, reply)
	}
}

// problem is the reply to what failed, as that of package operator/remote.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func refuse(w http.ResponseWriter, err error) {
	st := status.Convert(err)
	code := event.StatusOf(st.Err()).Code
	if st.Code() == codes.Unknown { // of the broker, or of the replier: the request itself was right
		code = http.StatusBadGateway
	}
	writeJSON(w, code, problem{st.Code().String(), strings.ToValidUTF8(st.Message(), "\uFFFD")})
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(text) // an error means that the browser has gone
}

// readJSON reads the body of a request.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return status.Errorf(codes.InvalidArgument, "the request is larger than %d bytes", maxBody)
		}
		return status.Error(codes.InvalidArgument, "the request cannot be read")
	}
	if err := json.Unmarshal(body, v); err != nil {
		return status.Error(codes.InvalidArgument, "the request is not the JSON that is wanted: "+err.Error())
	}
	return nil
}

// about is api/info.
type about struct {
	Service   string `json:"service"`
	Version   string `json:"version"`
	Acts      bool   `json:"acts"`
	Publishes bool   `json:"publishes"`
	Token     bool   `json:"token"`
}

func (c *Console) info(http.ResponseWriter, *http.Request) (any, error) {
	return about{
		Service: c.o.Service, Version: c.o.Version,
		Acts: c.o.Operator != nil, Publishes: c.o.Publisher != nil, Token: c.login.key != nil,
	}, nil
}
