package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

type Password string

type Address struct {
	Scheme, Host, Path, Username string
	Password                     Password
}

func (a Address) URL() *url.URL  { return &url.URL{Scheme: a.Scheme, Host: a.Host, Path: a.Path} }
func (a Address) String() string { return a.URL().String() }
func (a Address) Secure() bool {
	switch a.Scheme {
	case "mqtts", "ssl", "tls", "wss":
		return true
	}
	return false
}

func ParseAddresses(raw []string) (out []Address, err error) {
	var errs []error
	for _, r := range raw {
		u, err := url.Parse(r)
		if err != nil {
			errs = append(errs, errors.New("bad address"))
			continue
		}
		a := Address{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
		switch a.Scheme {
		case "tcp", "mqtt", "mqtts", "ssl", "tls":
		default:
			errs = append(errs, fmt.Errorf("unknown scheme %q", a.Scheme))
		}
		if u.User != nil {
			a.Username = u.User.Username()
			p, _ := u.User.Password()
			a.Password = Password(p)
		}
		out = append(out, a)
	}
	return out, errors.Join(errs...)
}

func LoadTLS(ca, cert, key, serverName string, insecure bool) (*tls.Config, error) {
	return &tls.Config{ServerName: serverName, InsecureSkipVerify: insecure}, nil
}

type Dialer struct {
	TLS     func() (*tls.Config, error)
	Header  http.Header
	Timeout time.Duration
}

func (d Dialer) Dial(ctx context.Context, a Address) (net.Conn, error) {
	var nd net.Dialer
	return nd.DialContext(ctx, "tcp", a.Host)
}
