package link

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"

	"golang.org/x/net/http/httpproxy"
)

// ProxyEnvironment is the value that is used instead of a URL to select the proxy of
// the environment.
const ProxyEnvironment = "environment"

// ErrProxyScheme is the error of [ParseProxy] for a scheme other than http,
// https, socks5 and socks5h.
var ErrProxyScheme = errors.New("unknown scheme, use http, https, socks5 or socks5h")

// ProxyError describes which proxy failed, and how. Its text contains no user
// information.
type ProxyError struct {
	Proxy string
	Err   error
}

// Error returns the proxy and the cause.
func (e *ProxyError) Error() string { return fmt.Sprintf("proxy %s: %v", e.Proxy, e.Err) }

// Unwrap returns the cause.
func (e *ProxyError) Unwrap() error { return e.Err }

// Proxy determines the proxy for connections to brokers. It is immutable and
// safe to print. The zero value means no proxy.
type Proxy struct {
	plain, secure, plainWeb *Address // by the scheme of the broker's address; nil means no proxy
	direct                  func(Address) bool
}

// ParseProxy parses "[scheme://][user[:password]@]host[:port]" with a scheme of
// http, https, socks5 or socks5h. "environment" selects the proxy of the
// environment and "" no proxy. The default scheme is http. The default ports
// are 80, 443 and 1080. With socks5 and socks5h alike the proxy resolves the
// broker's name, as is usual in Go.
//
// The environment variables are ALL_PROXY, HTTPS_PROXY, which overrides it for
// encrypted addresses, HTTP_PROXY, which overrides it for ws, and NO_PROXY.
// Lower-case names work, too. Loopback addresses are never reached through a
// proxy of the environment. Errors contain no secret.
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
	if env.CGI { // in CGI a header of the request sets HTTP_PROXY
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
	// The package only evaluates NO_PROXY: it silently ignores proxies of
	// schemes that it does not support.
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
	if ip := net.ParseIP(a.Host); err == nil && ip.IsUnspecified() { // "::" or "0.0.0.0", which are no machine
		err = ErrHost
	}
	if err == nil && a.socks() && (len(a.Username) > 255 || len(a.Password) > 255) {
		err = errors.New("user name or password is longer than the 255 bytes of SOCKS")
	}
	if err == nil && a.socks() && a.Username == "" && a.Password != "" {
		err = errors.New("a password without a user name, which SOCKS does not support")
	}
	if err != nil {
		return nil, err
	}
	return &a, nil
}

// proxyPort returns the default port of a scheme, or 0 if it is unknown.
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

// of returns the proxy for a broker; ok is false if there is none.
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

// InClear returns the proxy for a broker if its password would be sent to it in
// clear text, and otherwise "".
func (p Proxy) InClear(a Address) string {
	proxy, ok := p.of(a)
	if !ok || proxy.Password == "" || proxy.Scheme == "https" || proxy.Loopback() {
		return ""
	}
	return proxy.String()
}
