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

// What can be wrong with an address; found with errors.Is in the
// [*AddressError] of [ParseAddress].
var (
	// ErrNoAddress: the list of addresses is empty.
	ErrNoAddress = errors.New("no broker address")
	// ErrScheme: none of tcp, mqtt, ssl, tls, mqtts, ws, wss.
	ErrScheme = errors.New("unknown scheme, use tcp, mqtt, ssl, tls, mqtts, ws or wss")
	// ErrHost: the host is missing or malformed.
	ErrHost = errors.New("host is missing or malformed")
	// ErrPort: the port is not a number from 1 to 65535.
	ErrPort = errors.New("port is not a number from 1 to 65535")
	// ErrPath: a path or query where only ws and wss have one, or a malformed
	// one, or a fragment.
	ErrPath = errors.New("path or query is malformed, or the scheme has none")
	// ErrUserinfo: user name or password hold characters that must be
	// percent-encoded (% / ? # @).
	ErrUserinfo = errors.New("user information is malformed, percent-encode % / ? # and @ in it")
	// ErrCharacter: blanks or control characters in the address.
	ErrCharacter = errors.New("blank or control character in the address")
)

// AddressError says which address of a list is wrong, and how. Its text holds
// nothing of the address but the scheme, and that only where no secret can have
// been taken for one.
type AddressError struct {
	Index  int    // position in the list, from 0
	Scheme string // "" when not known to be harmless
	Err    error  // ErrScheme, ErrHost, …
}

// Error describes the problem; positions count from 1.
func (e *AddressError) Error() string {
	where := fmt.Sprintf("broker address %d", e.Index+1)
	if e.Scheme != "" {
		where += fmt.Sprintf(" (%s)", e.Scheme)
	}
	return where + ": " + e.Err.Error()
}

// Unwrap returns the problem.
func (e *AddressError) Unwrap() error { return e.Err }

// Address is where a broker listens, and what to say there. It is immutable by
// convention and safe to print: [Address.String] and [Address.URL] never hold
// user information or the query, and the secrets in it print as "***".
type Address struct {
	Scheme   string // tcp, mqtt, ssl, tls, mqtts, ws or wss
	Host     string // name or IP address, IPv6 without brackets
	Port     uint16 // never 0
	Path     string // ws and wss: as given, "" when none was
	Query    Secret // ws and wss: raw query without "?"; it may hold a token
	Username string // from the user information, decoded
	Password Secret // from the user information, decoded
}

// ParseAddress reads "[scheme://][user[:password]@]host[:port][/path][?query]".
// No scheme means tcp. The port defaults to 1883 (tcp, mqtt), 8883 (ssl, tls,
// mqtts), 80 (ws) and 443 (wss). IPv6 addresses may go without brackets where
// no port follows. Errors are [*AddressError] and hold no secret.
func ParseAddress(raw string) (Address, error) {
	a, err := parseAddress(raw, "tcp", defaultPort)
	if err != nil {
		return Address{}, &AddressError{Scheme: harmless(a.Scheme, raw), Err: err}
	}
	return a, nil
}

// harmless returns the scheme unless it may hold a secret: where there is an "@" a
// part of the password may have been taken for one.
func harmless(scheme, raw string) string {
	if strings.Contains(raw, "@") || !isWord(scheme) {
		return ""
	}
	return scheme
}

// ParseAddresses reads every address of the list and reports all problems at
// once, joined.
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

// HostPort is the address to dial.
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

// WebSocket reports whether MQTT is carried in WebSocket messages.
func (a Address) WebSocket() bool { return a.Scheme == "ws" || a.Scheme == "wss" }

// Loopback reports whether the host is this machine.
func (a Address) Loopback() bool {
	ip := net.ParseIP(a.Host)
	return a.Host == "localhost" || ip != nil && ip.IsLoopback()
}

// URL is a new URL of the address, without user information and query.
func (a Address) URL() *url.URL {
	u := &url.URL{Scheme: a.Scheme, Host: a.HostPort()}
	if p, err := url.Parse("ws://host" + a.Path); err == nil {
		u.Path, u.RawPath = p.Path, p.RawPath
	}
	return u
}

// String is URL as text.
func (a Address) String() string { return a.URL().String() }

// defaultPort returns the port that IANA or custom assign to a scheme, 0 when the
// scheme is unknown.
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

// parseAddress reads a URL of a scheme that port knows; without one it is usual.
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
	// A password with a bare / ? or # would put its rest into the path.
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
		// RFC 6874 writes the zone's % as %25.
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
