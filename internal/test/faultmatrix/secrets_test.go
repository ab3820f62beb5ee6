package faultmatrix_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
)

// secrets are given to every client of this package and must never be disclosed.
type secrets struct {
	user, password string
	will           string // payload, like a token
	header         string // of a WebSocket upgrade
	key            string // in the path of a private key
}

// planted are the secrets of this run.
var planted = secrets{
	user: "user-" + rand.Text(), password: "pass/" + rand.Text() + "?&", will: "token " + rand.Text(),
	header: "Bearer " + rand.Text(), key: "key-" + rand.Text(),
}

func (s secrets) websocketHeader() http.Header { return http.Header{"Authorization": {s.header}} }

// leaks returns the names of the secrets that a text contains in any form.
func (s secrets) leaks(text string) (found []string) {
	for name, secret := range map[string]string{
		"user": s.user, "password": s.password, "will": s.will, "header": s.header, "path of the key": s.key,
	} {
		for form, shape := range forms(secret) {
			if i := strings.Index(text, shape); i >= 0 {
				found = append(found, fmt.Sprintf("%s as %s near %q", name, form, text[max(0, i-120):min(len(text), i+len(shape)+40)]))
			}
		}
	}
	return found
}

// forms returns the forms in which a secret may occur.
func forms(secret string) map[string]string {
	return map[string]string{
		"itself":      secret,
		"URL":         url.QueryEscape(secret),
		"URL path":    url.PathEscape(secret),
		"quoted":      strings.Trim(fmt.Sprintf("%q", secret), `"`),
		"base64":      base64.StdEncoding.EncodeToString([]byte(secret)),
		"hexadecimal": hex.EncodeToString([]byte(secret)),
		"bytes":       strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]"),
		"hex bytes":   strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", []byte(secret)), "[]byte{"), "}"),
	}
}

// transcript records everything that a client reports.
type transcript struct {
	mu     sync.Mutex
	logged strings.Builder // by the service's logger
	kept   strings.Builder // everything else
}

// Write records a log line.
func (c *transcript) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logged.Write(p)
}

// value records the argument of a hook, a health, or an object.
func (c *transcript) value(v any) {
	text := fmt.Sprintf("%v\n%+v\n%#v\n", v, v, v)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept.WriteString(text)
}

// err records an error with its causes, and returns it.
func (c *transcript) err(err error) error {
	if err != nil {
		c.causes(err)
	}
	return err
}

func (c *transcript) causes(err error) {
	c.value(err)
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if cause := e.Unwrap(); cause != nil {
			c.causes(cause)
		}
	case interface{ Unwrap() []error }:
		for _, cause := range e.Unwrap() {
			c.causes(cause)
		}
	}
}

func (c *transcript) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept.String() + c.logged.String()
}

// logs returns how often a text was logged.
func (c *transcript) logs(text string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Count(c.logged.String(), text)
}

// The search finds each secret in each form.
func TestSecretsAreFound(t *testing.T) {
	t.Parallel()
	n := 0
	for _, secret := range []string{planted.user, planted.password, planted.will, planted.header, planted.key} {
		for form, shape := range forms(secret) {
			if len(planted.leaks("before "+shape+" after")) == 0 {
				t.Errorf("%q as %s is not found", secret, form)
			}
			n++
		}
	}
	var said transcript
	_ = said.err(fmt.Errorf("outer: %w", errors.Join(errors.New("one"), &url.Error{Op: "dial", URL: planted.password, Err: errors.New("x")})))
	if len(planted.leaks(said.text())) == 0 {
		t.Error("a secret in a cause is not found")
	}
	if len(planted.leaks("nothing of it")) != 0 || n == 0 {
		t.Error("found what is not there")
	}
}

// Objects that a service may print by mistake contain no secret, and neither do errors about
// settings.
func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	h := newHarness(t, "5")
	b := h.newBroker(broker.WithAddress("mqtt://" + url.UserPassword(planted.user, planted.password).String() + "@127.0.0.1:1"))
	h.said.value(b)
	h.said.value(b.Options())
	h.said.value(b.Address())
	h.newPublisher("mqtt://127.0.0.1:1", "")
	h.newSubscriber("mqtt://127.0.0.1:1", "")
	bad := h.newBroker(broker.WithAddress("mqtt://" + planted.user + ":" + planted.password + "@%zz:port"))
	if h.said.err(bad.Init()) == nil {
		t.Error("a bad address is no error")
	}
	h.said.value(bad)
	h.said.value(bad.Options())
}
