package event

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// Authenticator performs the enhanced authentication of MQTT 5 (section 4.12): an exchange of
// AUTH packets when a connection is opened, and again while it is open. Its methods are called
// concurrently for different connections, on goroutines of their own, never on a read loop.
type Authenticator interface {
	// Method returns the name of the authentication method, which broker and client agree on.
	// It must not change.
	Method() string
	// Begin returns a new exchange. It is called before each CONNECT and before each
	// re-authentication; ctx ends with the connect timeout. An error fails the attempt to
	// connect, or delays the re-authentication, and must not contain a secret.
	Begin(ctx context.Context) (*AuthExchange, error)
}

// AuthExchange is one exchange of an [Authenticator]. It is used once.
type AuthExchange struct {
	// Data is the authentication data of CONNECT, or of the AUTH that starts a
	// re-authentication. It is never logged.
	Data []byte
	// Continue returns the answer to the data of a broker that wants more. Nil, or an error,
	// ends the connection.
	Continue func(ctx context.Context, data []byte) ([]byte, error)
	// Finish checks the data with which the broker accepts, by which it may authenticate
	// itself. An error ends the connection. Nil accepts any data.
	Finish func(ctx context.Context, data []byte) error
	// Renew is when to authenticate again, on the same connection. Zero means never.
	Renew time.Time
}

// Token is a secret that authenticates a client until it expires.
type Token struct {
	// Value is sent as it is. It is never logged.
	Value string
	// Expires is when it expires. If it is zero and Value is a JSON Web Token (RFC 7519), its
	// claim "exp" counts; without either the token does not expire.
	Expires time.Time
}

// TokenAuthenticator authenticates with a token, such as a JSON Web Token: its value is the
// authentication data, and no further packets are exchanged. Before a token expires, the client
// authenticates again with a new one, without connecting anew. Safe for concurrent use.
type TokenAuthenticator struct {
	method string
	source func(ctx context.Context) (Token, error)
}

// NewTokenAuthenticator returns an authenticator with the method that the broker expects, such
// as "OAUTH2-JWT". source returns a token that is valid now; it is called for each connection
// and, when four fifths of the lifetime that the last token had left are over, once more.
func NewTokenAuthenticator(method string, source func(ctx context.Context) (Token, error)) *TokenAuthenticator {
	return &TokenAuthenticator{method, source}
}

// Method implements [Authenticator].
func (a *TokenAuthenticator) Method() string { return a.method }

var errTokenOver = errors.New("the token has expired")

// Begin implements [Authenticator]. A token that has expired is an error.
func (a *TokenAuthenticator) Begin(ctx context.Context) (*AuthExchange, error) {
	t, err := a.source(ctx)
	if err != nil {
		return nil, err
	}
	if t.Expires.IsZero() {
		t.Expires = expiryOf(t.Value)
	}
	x := &AuthExchange{Data: []byte(t.Value)}
	if !t.Expires.IsZero() {
		left := time.Until(t.Expires)
		if left <= 0 {
			return nil, errTokenOver
		}
		x.Renew = time.Now().Add(left * 4 / 5)
	}
	return x, nil
}

// expiryOf returns the claim "exp" of a JSON Web Token, whose signature only the broker can
// check; zero if there is none.
func expiryOf(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Exp float64 `json:"exp"` // seconds, perhaps with a fraction
	}
	if json.Unmarshal(text, &claims) != nil || claims.Exp <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(claims.Exp * 1000))
}
