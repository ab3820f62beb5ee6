package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bounds"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// DefaultTimeout is the time of a call of a [Client] whose context has no deadline.
const DefaultTimeout = 30 * time.Second

// maxReply is the size of a reply in bytes that a client reads.
const maxReply = 64 << 20

// Client calls the operator of a service by HTTP with JSON, as [Server.Handler] serves it. It has
// the methods of the gRPC client. Their errors are gRPC statuses: those of the server, Unavailable
// if it cannot be reached, and Unknown if something else answers. Call options have no effect. A
// client is safe for concurrent use. Create it with [NewClient].
type Client struct {
	operatorv1.OperatorServiceClient

	calls calls
}

// ClientOptions configures a [Client].
type ClientOptions struct {
	// Token is sent as "Authorization: Bearer <token>"; "" sends none.
	Token string
	// HTTP sends the requests. Default: a client of its own, with the proxies of the
	// environment. Redirects are not followed, because they would get the token.
	HTTP *http.Client
}

// NewClient returns a client for the service at an address, such as http://127.0.0.1:8000. The
// address may have a path under which the service mounts the operator. It connects with the first
// call.
func NewClient(address string, o ClientOptions) (*Client, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, errors.New("operator: the address is not a URL, want one such as http://127.0.0.1:8000") // the text may have a password
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, fmt.Errorf("operator: the address is %q, want one such as http://127.0.0.1:8000", u.Redacted())
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("operator: the address has user information, a query or a fragment, want none of them: a token is given by itself")
	}
	hc := http.Client{Transport: transport()}
	if o.HTTP != nil {
		hc = *o.HTTP
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c := &Client{calls: calls{address: strings.TrimSuffix(u.String(), "/"), token: o.Token, http: &hc}}
	c.OperatorServiceClient = operatorv1.NewOperatorServiceClient(&c.calls)
	return c, nil
}

// transport returns a copy of the usual one, whose connections the client may close.
func transport() http.RoundTripper {
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		return t.Clone()
	}
	return http.DefaultTransport // the program has replaced it
}

// Close closes the connections that no call uses. The client can be used afterwards.
func (c *Client) Close() { c.calls.http.CloseIdleConnections() }

// Address returns the address of the service.
func (c *Client) Address() string { return c.calls.address }

// Exposed reports whether the client sends a token without TLS to another machine, where others
// may read it on the way.
func (c *Client) Exposed() bool {
	u, err := url.Parse(c.calls.address)
	return err == nil && c.calls.token != "" && u.Scheme == "http" && !isLoopback(u.Hostname()) && u.Hostname() != "localhost"
}

// calls carries out the calls of the generated client.
type calls struct {
	address, token string
	http           *http.Client
}

var _ grpc.ClientConnInterface = (*calls)(nil)

// Invoke implements [grpc.ClientConnInterface].
func (c *calls) Invoke(ctx context.Context, method string, args, reply any, _ ...grpc.CallOption) error {
	in, known := args.(proto.Message)
	out, also := reply.(proto.Message)
	if !known || !also {
		return status.Error(codes.Internal, "the request or the reply is not a message")
	}
	body, err := protojson.Marshal(in)
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address+method, bytes.NewReader(body))
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	r.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return c.unreached(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxReply+1))
	switch {
	case err != nil:
		return c.unreached(ctx, err)
	case len(text) > maxReply:
		return status.Errorf(codes.ResourceExhausted, "operator: the reply of %s is larger than %d bytes", c.address, maxReply)
	case answer.StatusCode != http.StatusOK:
		return c.refused(answer, text)
	}
	if err := bounds.Check(bounds.JSON, text, out); err != nil {
		return status.Errorf(codes.ResourceExhausted, "operator: the reply of %s: %v", c.address, err)
	}
	// A newer server may send fields that this program does not know.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, out); err != nil {
		return c.foreign(answer)
	}
	return nil
}

// NewStream implements [grpc.ClientConnInterface]. The service has no streams.
func (c *calls) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unimplemented, "operator: no streams over HTTP with JSON")
}

// unreached returns the status of a call that got no reply.
func (c *calls) unreached(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return status.Errorf(codes.DeadlineExceeded, "operator: no reply from %s in time", c.address)
	case ctx.Err() != nil:
		return status.FromContextError(ctx.Err()).Err()
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the URL is known
	}
	return status.Errorf(codes.Unavailable, "operator: cannot reach %s: %v", c.address, err)
}

// refused returns the status of a reply that is an error.
func (c *calls) refused(answer *http.Response, text []byte) error {
	var problem struct {
		Code    json.RawMessage `json:"code"`
		Message string          `json:"message"`
	}
	if !isJSON(answer) || json.Unmarshal(text, &problem) != nil {
		return c.foreign(answer)
	}
	code, known := codeNamed(problem.Code)
	if !known {
		return c.foreign(answer)
	}
	return status.Error(code, logsafe.Text(problem.Message))
}

// codeNamed returns the code whose name a server wrote.
func codeNamed(text json.RawMessage) (codes.Code, bool) {
	var name string
	if json.Unmarshal(text, &name) != nil {
		return codes.OK, false
	}
	for c := codes.Canceled; c <= codes.Unauthenticated; c++ {
		if c.String() == name {
			return c, true
		}
	}
	return codes.OK, false
}

// foreign returns the status of a reply that no operator sends.
func (c *calls) foreign(answer *http.Response) error {
	switch answer.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return status.Errorf(codes.Unavailable, "operator: %s is not available now: HTTP status %d", c.address, answer.StatusCode)
	}
	return status.Errorf(codes.Unknown, "operator: what answers at %s is not an operator: HTTP status %d, content type %q; want the address at which a service has server.operator",
		c.address, answer.StatusCode, logsafe.Clip(answer.Header.Get("Content-Type")))
}

func isJSON(answer *http.Response) bool {
	media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	return err == nil && media == "application/json"
}
