package remote

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// MinToken is the minimum length of a token in bytes.
const MinToken = 16

// ErrNoToken is the error of [Guard.Check] for an address beyond loopback without a token.
var ErrNoToken = errors.New("operator: no token, want one to serve beyond loopback")

// Token returns the token in a file, or in a text, such as an environment variable has, if path
// is "". It is without the white space around it. Neither set is "" without an error.
func Token(path, text string) (string, error) {
	if path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("operator: token: %w", err)
		}
		text = string(b)
	}
	token := strings.TrimSpace(text)
	if token == "" && path == "" {
		return "", nil
	}
	if len(token) < MinToken {
		return "", fmt.Errorf("operator: the token has %d bytes, want at least %d", len(token), MinToken)
	}
	return token, nil
}

// Guard decides which callers a [Server], or another handler of the same process, serves. Create
// it with [NewGuard]. It is safe for concurrent use.
type Guard struct {
	// token is the hash of the token; nil if there is none.
	token []byte
}

// NewGuard returns a guard that demands the token, as "Authorization: Bearer <token>". Without
// one, "", it lets only callers on this machine pass.
func NewGuard(token string) Guard {
	if token == "" {
		return Guard{}
	}
	sum := sha256.Sum256([]byte(token))
	return Guard{token: sum[:]}
}

// Check returns [ErrNoToken] if what is guarded must not be mounted on a listener with this
// address: it is beyond loopback and there is no token.
func (g Guard) Check(listens net.Addr) error {
	if g.token == nil && !local(listens) {
		return ErrNoToken
	}
	return nil
}

// bearer compares a header in constant time: hashes have the same length.
func (g Guard) bearer(header string) bool {
	scheme, token, _ := strings.Cut(header, " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], g.token) == 1
}

var (
	errToken    = status.Error(codes.Unauthenticated, "want the header Authorization: Bearer <token>")
	errLoopback = status.Error(codes.PermissionDenied, "without a token only callers on this machine are served")
)

// grpc returns why a call is refused, or nil.
func (g Guard) grpc(ctx context.Context) error {
	if g.token != nil {
		md, _ := metadata.FromIncomingContext(ctx)
		if values := md.Get("authorization"); len(values) != 1 || !g.bearer(values[0]) {
			return errToken
		}
		return nil
	}
	if p, ok := peer.FromContext(ctx); ok && local(p.Addr) && local(p.LocalAddr) {
		return nil
	}
	return errLoopback
}

// local reports whether an address is of this machine only; nil, as of gRPC's own tests, is not.
func local(a net.Addr) bool {
	switch a := a.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}

// HTTP returns why a request is refused, a gRPC status, or nil. A page of another site, in a
// browser that can reach this process, cannot send what is served: the headers by which browsers
// name the site do not fit, and except for GET and HEAD, which must only read, it needs the
// content type application/json, which no form has and which a browser asks for first.
func (g Guard) HTTP(r *http.Request) error {
	if foreign(r) {
		return status.Error(codes.PermissionDenied, "requests from pages of other sites are refused")
	}
	if g.token != nil {
		if values := r.Header.Values("Authorization"); len(values) != 1 || !g.bearer(values[0]) {
			return errToken
		}
	} else if !onThisMachine(r) {
		return errLoopback
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return status.Error(codes.InvalidArgument, "want the content type application/json")
	}
	return nil
}

func foreign(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		u, err := url.Parse(origin)
		return err != nil || !strings.EqualFold(u.Host, r.Host) // the origin "null" has no host
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	return true
}

// onThisMachine reports whether a request comes from this machine, by no proxy, and for a name
// that cannot be one of another site.
func onThisMachine(r *http.Request) bool {
	if !r.ProtoAtLeast(1, 1) { // nginx, where nothing else is configured, names itself in no header
		return false
	}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via"} {
		if r.Header.Get(header) != "" {
			return false
		}
	}
	remote, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil || !isLoopback(remote) {
		return false
	}
	if at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && !local(at) {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return isLoopback(strings.Trim(host, "[]")) || strings.EqualFold(host, "localhost")
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
