package command

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	cliv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/cli/v1"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/service"
)

// service returns the running service of the context.
func (s *session) service() (*service.Service, error) {
	c, err := s.context()
	if err != nil {
		return nil, err
	}
	return s.serviceOf(c)
}

// errNoOperator is the error of a command that needs an operator and does not know which.
var errNoOperator = errors.New("no operator: want --operator URL of a service with server.operator, a context that has one, or KRATOS_MQTT_OPERATOR")

// serviceOf returns the running service of a context.
func (s *session) serviceOf(c *cliv1.Context) (*service.Service, error) {
	o := c.GetOperator()
	if o.GetAddress() == "" {
		return nil, errNoOperator
	}
	token, err := remote.Token(o.GetTokenFile(), s.Getenv("KRATOS_MQTT_OPERATOR_TOKEN"))
	if err != nil {
		return nil, err
	}
	web, err := s.web()
	if err != nil {
		return nil, err
	}
	operator, err := remote.NewClient(o.GetAddress(), remote.ClientOptions{Token: token, HTTP: web})
	if err != nil {
		return nil, err
	}
	if operator.Exposed() {
		fmt.Fprintf(s.Err, "warning: the token of the operator goes to %s without TLS\n", printable(operator.Address()))
	}
	return service.New(operator, web), nil
}

// web returns a client for HTTP that trusts the authorities of --ca. A command sends a few
// requests, and leaves nothing open.
func (s *session) web() (*http.Client, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: remote.DefaultTimeout}
	if s.connection.ca != "" {
		pool, err := authorities(s.connection.ca)
		if err != nil {
			return nil, err
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: t}, nil
}

// authorities returns the certificates of a file.
func authorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", path)
	}
	return pool, nil
}

// explained returns an error of the operator as a person reads it.
func explained(err error) error {
	st, ok := status.FromError(err)
	if !ok || err == nil {
		return err
	}
	text := printable(strings.TrimPrefix(st.Message(), "operator: "))
	switch st.Code() {
	case codes.Unauthenticated:
		text = "the operator wants a token: pass --token-file, or set KRATOS_MQTT_OPERATOR_TOKEN"
	case codes.Canceled:
		return context.Canceled
	case codes.NotFound:
		text = cmp.Or(text, "not found")
	}
	return &ExitError{Code: 1, Err: errors.New(cmp.Or(text, st.Code().String()))}
}

// asJSON returns a value of the operator with the names of its .proto file.
func asJSON(m proto.Message) json.RawMessage {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}.Marshal(m)
	if err != nil { // cannot happen: the message was read from JSON
		return json.RawMessage("null")
	}
	return text
}

// at returns a time for a table.
func at(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}

// reasonRunes is how much of an error a table shows.
const reasonRunes = 240

// short returns a text of at most so many characters. What it leaves out is in the middle: an error
// begins with what was tried and ends with the cause.
func short(text string, runes int) string {
	list := []rune(text)
	if len(list) <= runes {
		return text
	}
	end := runes / 2
	return string(list[:runes-1-end]) + "…" + string(list[len(list)-end:])
}

// byFlag adds the flag for the name of the person who acts.
func byFlag(c *cobra.Command, by *string) {
	c.Flags().StringVar(by, "by", "", "your name, for the log of the service (default: KRATOS_MQTT_USER, else your login)")
}

// person returns the name for the log of the service: the given one, or that of the user of this machine.
func (s *session) person(given string) string {
	return cmp.Or(given, s.Getenv("KRATOS_MQTT_USER"), s.Getenv("USER"), s.Getenv("LOGNAME"), s.Getenv("USERNAME"))
}
