package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Errors of an address. Use errors.Is on the [*AddressError] of [ParseAddress].
var (
	// ErrNoAddress means that the list of addresses is empty.
	ErrNoAddress = errors.New("no broker address")
	// ErrScheme means that the scheme is not tcp, mqtt, ssl, tls, mqtts, ws or
	// wss.
	ErrScheme = errors.New("unknown scheme, use tcp, mqtt, ssl, tls, mqtts, ws or wss")
	// ErrHost means that the host is missing or malformed.
	ErrHost = errors.New("host is missing or malformed")
	// ErrPort means that the port is not a number from 1 to 65535.
	ErrPort = errors.New("port is not a number from 1 to 65535")
	// ErrPath means that the path or query is malformed, that the scheme is not
	// ws or wss and therefore has none, or that there is a fragment.
	ErrPath = errors.New("path or query is malformed, or the scheme has none")
	// ErrUserinfo means that the user name or password contains characters that
	// must be percent-encoded (% / ? # @).
	ErrUserinfo = errors.New("user information is malformed, percent-encode % / ? # and @ in it")
	// ErrCharacter means that the address contains blanks or control
	// characters.
	ErrCharacter = errors.New("blank or control character in the address")
)

// AddressError describes what is wrong with one address of a list. Its text
// contains nothing of the address except the scheme, and omits even that if it
// may be part of a secret.
type AddressError struct {
	Index  int    // position in the list, from 0
	Scheme string // "" if it may contain a secret
	Err    error  // ErrScheme, ErrHost, …
}

// Error returns the position, counted from 1, and the problem.
func (e *AddressError) Error() string {
	where := fmt.Sprintf("broker address %d", e.Index+1)
	if e.Scheme != "" {
		where += fmt.Sprintf(" (%s)", e.Scheme)
	}
	return where + ": " + e.Err.Error()
}

// Unwrap returns the problem.
func (e *AddressError) Unwrap() error { return e.Err }

// Address is the location of a broker and the credentials in its URL. Do not
// change it after parsing. It is safe to print: [Address.String] and
// [Address.URL] contain neither user information nor the query, and its secrets
// print as "***".
type Address struct {
	Scheme   string // tcp, mqtt, ssl, tls, mqtts, ws or wss
	Host     string // name or IP address; IPv6 without brackets
	Port     uint16 // never 0
	Path     string // ws and wss: as in the address, or ""
	Query    Secret // ws and wss: raw query without "?"; it may contain a token
	Username string // from the user information, decoded
	Password Secret // from the user information, decoded
}

// ParseAddress parses
// "[scheme://][user[:password]@]host[:port][/path][?query]". The default scheme
// is tcp. The default port is 1883 (tcp, mqtt), 8883 (ssl, tls, mqtts), 80 (ws)
// or 443 (wss). An IPv6 address without a port needs no brackets. Errors are
// [*AddressError] and contain no secret.
func ParseAddress(raw string) (Address, error) {
	a, err := parseAddress(raw, "tcp", defaultPort)
	if err != nil {
		return Address{}, &AddressError{Scheme: harmless(a.Scheme, raw), Err: err}
	}
	return a, nil
}

// harmless returns the scheme, or "" if raw contains an "@", because the scheme
// may then be part of a password.
func harmless(scheme, raw string) string {
	if strings.Contains(raw, "@") || !isWord(scheme) {
		return ""
	}
	return scheme
}

// ParseAddresses parses every address of the list and joins the errors of all
// of them.
func ParseAddresses(raw []string) ([]Address, error) {
	if len(raw) == 0 {
		return nil, ErrNoAddress
	}
	list := make([]Address, 0, len(raw))
	var problems []error
	for i, r := range raw {
		a, err := ParseAddress(r)
		if bad, ok := errors.AsType[*AddressError](err); ok {
			bad.Index = i
			problems = append(problems, bad)
		}
		list = append(list, a)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return list, nil
}

// HostPort returns the address to dial, host:port.
func (a Address) HostPort() string {
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// Secure reports whether the connection is encrypted.
func (a Address) Secure() bool {
	switch a.Scheme {
	case "ssl", "tls", "mqtts", "wss":
		return true
	}
	return false
}

// WebSocket reports whether the connection carries MQTT in WebSocket messages.
func (a Address) WebSocket() bool { return a.Scheme == "ws" || a.Scheme == "wss" }

// Loopback reports whether the host is this machine.
func (a Address) Loopback() bool {
	ip := net.ParseIP(a.Host)
	return a.Host == "localhost" || ip != nil && ip.IsLoopback()
}

// URL returns a new URL of the address, without user information and query.
func (a Address) URL() *url.URL {
	u := &url.URL{Scheme: a.Scheme, Host: a.HostPort()}
	if p, err := url.Parse("ws://host" + a.Path); err == nil {
		u.Path, u.RawPath = p.Path, p.RawPath
	}
	return u
}

// String returns the text of [Address.URL].
func (a Address) String() string { return a.URL().String() }

// defaultPort returns the port that IANA or convention assigns to a scheme, or
// 0 if the scheme is unknown.
func defaultPort(scheme string) uint16 {
	switch scheme {
	case "tcp", "mqtt":
		return 1883
	case "ssl", "tls", "mqtts":
		return 8883
	case "ws":
		return 80
	case "wss":
		return 443
	}
	return 0
}

// parseAddress parses a URL. port returns the default port of a scheme, or 0 if
// the scheme is unknown; usual is the default scheme.
func parseAddress(raw, usual string, port func(scheme string) uint16) (a Address, err error) {
	raw = strings.TrimSpace(raw)
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return a, ErrCharacter
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		scheme, rest = usual, raw
	}
	a.Scheme = strings.ToLower(scheme)
	if a.Port = port(a.Scheme); a.Port == 0 {
		return a, ErrScheme
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	// After a password with a bare / ? or #, its rest would be taken for the
	// path.
	if strings.Contains(tail, "@") {
		return a, ErrUserinfo
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		if err := a.setUser(authority[:i]); err != nil {
			return a, err
		}
		authority = authority[i+1:]
	}
	return a, errors.Join(a.setHost(authority), a.setTail(tail))
}

func (a *Address) setUser(info string) error {
	name, password, _ := strings.Cut(info, ":")
	name, err1 := url.PathUnescape(name)
	password, err2 := url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return ErrUserinfo
	}
	a.Username, a.Password = name, Secret(password)
	return nil
}

func (a *Address) setHost(authority string) error {
	host, port := authority, ""
	switch {
	case strings.HasPrefix(authority, "["):
		end := strings.IndexByte(authority, ']')
		if end < 0 {
			return ErrHost
		}
		host, port = authority[1:end], authority[end+1:]
		if port != "" && port[0] != ':' {
			return ErrHost
		}
		port = strings.TrimPrefix(port, ":")
		// RFC 6874 writes the % of a zone as %25.
		host = strings.Replace(host, "%25", "%", 1)
		if !isIPv6(host) {
			return ErrHost
		}
	case strings.Count(authority, ":") > 1:
		if !isIPv6(host) {
			return ErrHost
		}
	default:
		host, port, _ = strings.Cut(authority, ":")
		if !isWord(host) {
			return ErrHost
		}
	}
	a.Host = host
	if port == "" {
		return nil
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return ErrPort
	}
	a.Port = uint16(n)
	return nil
}

func (a *Address) setTail(tail string) error {
	if !a.WebSocket() {
		if tail == "" || tail == "/" {
			return nil
		}
		return ErrPath
	}
	u, err := url.Parse("ws://host" + tail)
	if err != nil || strings.Contains(tail, "#") {
		return ErrPath
	}
	a.Path, a.Query = u.EscapedPath(), Secret(u.RawQuery)
	return nil
}

func isIPv6(s string) bool {
	ip, err := netip.ParseAddr(s)
	return err == nil && ip.Is6() && (ip.Zone() == "" || isWord(ip.Zone()))
}

// isWord reports whether s consists of the characters of host names, IPv4
// addresses, zones and schemes.
func isWord(s string) bool {
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		case r == '-', r == '.', r == '_':
		default:
			return false
		}
	}
	return s != ""
}
