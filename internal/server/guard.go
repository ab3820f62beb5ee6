package server

import (
	"fmt"
	"net"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-kratos/kratos/v2/errors"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// guard prevents pages of other sites, in a browser that can reach this process, from
// using the API. The API has no password, so a request from such a page would
// otherwise succeed.
type guard struct {
	// hosts are the names of this process, besides localhost and IP addresses.
	hosts []string
	// origins are other sites whose pages may use the API.
	origins []string
	// strict refuses requests for any other name.
	strict bool
}

func newGuard(c *conf.Server_HTTP, listens net.Addr) *guard {
	tcp, ok := listens.(*net.TCPAddr)
	return &guard{
		hosts: c.Hosts, origins: c.Origins,
		strict: len(c.Hosts) > 0 || ok && tcp.IP.IsLoopback(),
	}
}

// filter refuses requests from pages of other sites, and requests for a name that this
// process does not have: a page can make its own name resolve to 127.0.0.1, and the
// browser then considers this process the same site.
func (g *guard) filter(next nethttp.Handler) nethttp.Handler {
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if !g.knows(r.Host) {
			encodeError(w, r, errors.New(nethttp.StatusMisdirectedRequest, "UNKNOWN_HOST",
				fmt.Sprintf("Host is %.100q, want localhost, an address or a name of server.http.hosts", r.Host)))
			return
		}
		origin := r.Header.Get("Origin")
		if slices.Contains(g.origins, origin) {
			allow(w.Header(), origin)
			if r.Method == nethttp.MethodOptions {
				w.WriteHeader(nethttp.StatusNoContent)
				return
			}
		} else if foreign(r, origin) {
			encodeError(w, r, errors.Forbidden("FOREIGN_ORIGIN",
				fmt.Sprintf("requests from pages of other sites are refused (Origin %.100q, Sec-Fetch-Site %.20q), unless server.http.origins lists the origin",
					origin, r.Header.Get("Sec-Fetch-Site"))))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// knows reports whether a Host header means this process. An IP address always does,
// because no other site can have one as its name.
func (g *guard) knows(host string) bool {
	if !g.strict || host == "" {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") ||
		net.ParseIP(strings.Trim(host, "[]")) != nil ||
		slices.ContainsFunc(g.hosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// foreign reports whether a browser marks the request as sent by a page of another
// site. Programs other than browsers set no such headers. Following a link is not
// foreign: the browser shows the answer to the user and not to the other page. All
// other requests are, also those that only read and whose answer the page could not
// see.
func foreign(r *nethttp.Request, origin string) bool {
	if origin != "" {
		u, err := url.Parse(origin)
		return err != nil || !strings.EqualFold(u.Host, r.Host) // the origin "null" has no host
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return false
	}
	link := r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
	return !link || r.Method != nethttp.MethodGet && r.Method != nethttp.MethodHead
}

// allow lets pages of an origin read answers, and send content types that forms cannot.
func allow(h nethttp.Header, origin string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", "Content-Type")
	h.Add("Vary", "Origin")
}
