package server

import (
	"io"
	nethttp "net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// get returns the status, the content type and the body.
func get(t *testing.T, url string) (int, string, string) {
	t.Helper()
	transport := &nethttp.Transport{}
	defer transport.CloseIdleConnections()
	req, err := nethttp.NewRequestWithContext(t.Context(), nethttp.MethodGet, url, nethttp.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), string(text)
}

// The index lists every contract, and its links lead to the committed files.
func TestAsyncAPIIsServed(t *testing.T) {
	t.Parallel()
	base := serveHTTP(t, &stub{}) + "/asyncapi/"
	code, kind, index := get(t, base)
	if code != 200 || !strings.HasPrefix(kind, "text/html") {
		t.Fatalf("index: %d %s %s", code, kind, index)
	}
	links := regexp.MustCompile(`href="([^"]+)"`).FindAllStringSubmatch(index, -1)
	if len(links) != 2 {
		t.Fatalf("links %v in %s", links, index)
	}
	for _, link := range links {
		name := link[1]
		want, err := os.ReadFile("../../api/" + strings.TrimSuffix(name, ".asyncapi.yaml") + "/v1/" + name)
		if err != nil {
			t.Fatal(err)
		}
		code, kind, text := get(t, base+name)
		if code != 200 || kind != "application/yaml" || text != string(want) {
			t.Errorf("%s: %d %s, %d bytes, want those of the file (%d)", name, code, kind, len(text), len(want))
		}
	}
	if code, _, _ := get(t, base+"other.yaml"); code != 404 {
		t.Errorf("unknown contract: %d", code)
	}
}
