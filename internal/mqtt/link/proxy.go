package link

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"

	"golang.org/x/net/http/httpproxy"
)

// ProxyEnvironment in the place of a URL takes the proxy from the environment.
const ProxyEnvironment = "environment"

// ErrProxyScheme is in the error of [ParseProxy]: none of http, https, socks5,
// socks5h.
var ErrProxyScheme = errors.New("unknown scheme, use http, https, socks5 or socks5h")

// ProxyError says which proxy failed, and how. Its text holds no user
// information.
type ProxyError struct {
	Proxy string
	Err   error
}

// Error returns proxy and cause.
func (e *ProxyError) Error() string { return fmt.Sprintf("proxy %s: %v", e.Proxy, e.Err) }

// Unwrap returns the cause.
func (e *ProxyError) Unwrap() error { return e.Err }

// Proxy is what connections to brokers go through, immutable and safe to print.
// The zero value is none.
type Proxy struct {
	plain, secure, plainWeb *Address // by the scheme of the broker's address; nil is none
	direct                  func(Address) bool
}

// ParseProxy reads "[scheme://][user[:password]@]host[:port]" with a scheme of
// http, https, socks5 or socks5h, or "environment"; "" is no proxy. No scheme
// means http. The port defaults to 80, 443 and 1080. Through both forms of
// SOCKS the proxy resolves the broker's name, as elsewhere in Go.
//
// The environment has ALL_PROXY, over which HTTPS_PROXY counts for encrypted
// addresses and HTTP_PROXY for ws, and NO_PROXY, also in lower case; this machine
// is never reached through them. The error holds no secret.
func ParseProxy(raw string) (Proxy, error) {
	switch raw {
	case "":
		return Proxy{}, nil
	case ProxyEnvironment:
		return environmentProxy()
	}
	a, err := parseProxy(raw)
	if err != nil {
		return Proxy{}, err
	}
	return Proxy{plain: a, secure: a, plainWeb: a}, nil
}

func environmentProxy() (Proxy, error) {
	env := httpproxy.FromEnvironment()
	if env.CGI { // a header of the request would choose it
		env.HTTPProxy = ""
	}
	all := cmp.Or(os.Getenv("ALL_PROXY"), os.Getenv("all_proxy"))
	var p Proxy
	var errs []error
	for _, v := range []struct {
		name, value string
		to          **Address
	}{
		{"ALL_PROXY", all, &p.plain},
		{"HTTPS_PROXY or ALL_PROXY", cmp.Or(env.HTTPSProxy, all), &p.secure},
		{"HTTP_PROXY or ALL_PROXY", cmp.Or(env.HTTPProxy, all), &p.plainWeb},
	} {
		if v.value == "" {
			continue
		}
		a, err := parseProxy(v.value)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s of the environment: %w", v.name, err))
		}
		*v.to = a
	}
	// The library decides by NO_PROXY only: it leaves out in silence what is no
	// proxy that it knows.
	env.HTTPSProxy, env.CGI = "http://proxy", false
	ask := env.ProxyFunc()
	p.direct = func(a Address) bool {
		u, err := ask(&url.URL{Scheme: "https", Host: a.HostPort()})
		return u == nil && err == nil
	}
	return p, errors.Join(errs...)
}

func parseProxy(raw string) (*Address, error) {
	a, err := parseAddress(raw, "http", proxyPort)
	if errors.Is(err, ErrScheme) {
		err = ErrProxyScheme
	}
	if err == nil && a.socks() && (len(a.Username) > 255 || len(a.Password) > 255) {
		err = errors.New("user name or password is longer than the 255 bytes of SOCKS")
	}
	if err == nil && a.socks() && a.Username == "" && a.Password != "" {
		err = errors.New("a password without a user name, which SOCKS does not have")
	}
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// proxyPort returns the port of a scheme, 0 when it is unknown.
func proxyPort(scheme string) uint16 {
	switch scheme {
	case "http":
		return 80
	case "https":
		return 443
	case "socks5", "socks5h":
		return 1080
	}
	return 0
}

func (a Address) socks() bool { return a.Scheme == "socks5" || a.Scheme == "socks5h" }

// of returns the proxy on the way to a broker, false for none.
func (p Proxy) of(a Address) (Address, bool) {
	proxy := p.plain
	switch {
	case a.Secure():
		proxy = p.secure
	case a.WebSocket():
		proxy = p.plainWeb
	}
	if proxy == nil || p.direct != nil && p.direct(a) {
		return Address{}, false
	}
	return *proxy, true
}

// InClear returns the proxy on the way to a broker to which a password of its own
// goes in clear text, "" for none.
func (p Proxy) InClear(a Address) string {
	proxy, ok := p.of(a)
	if !ok || proxy.Password == "" || proxy.Scheme == "https" || proxy.Loopback() {
		return ""
	}
	return proxy.String()
}
