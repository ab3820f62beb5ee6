package link

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// hidden is the secret in every test address.
const hidden = "s3cr3t"

var goodAddresses = []struct {
	raw  string
	want Address
	text string // String()
}{
	{"tcp://broker:1884", Address{Scheme: "tcp", Host: "broker", Port: 1884}, "tcp://broker:1884"},
	{"tcp://broker", Address{Scheme: "tcp", Host: "broker", Port: 1883}, "tcp://broker:1883"},
	{"mqtt://broker", Address{Scheme: "mqtt", Host: "broker", Port: 1883}, "mqtt://broker:1883"},
	{"ssl://broker", Address{Scheme: "ssl", Host: "broker", Port: 8883}, "ssl://broker:8883"},
	{"tls://broker", Address{Scheme: "tls", Host: "broker", Port: 8883}, "tls://broker:8883"},
	{"mqtts://broker", Address{Scheme: "mqtts", Host: "broker", Port: 8883}, "mqtts://broker:8883"},
	{"ws://broker", Address{Scheme: "ws", Host: "broker", Port: 80}, "ws://broker:80"},
	{"wss://broker", Address{Scheme: "wss", Host: "broker", Port: 443}, "wss://broker:443"},
	{"broker", Address{Scheme: "tcp", Host: "broker", Port: 1883}, "tcp://broker:1883"},
	{"broker:7", Address{Scheme: "tcp", Host: "broker", Port: 7}, "tcp://broker:7"},
	{"TCP://Broker.Example", Address{Scheme: "tcp", Host: "Broker.Example", Port: 1883}, "tcp://Broker.Example:1883"},
	{"  tcp://broker \n", Address{Scheme: "tcp", Host: "broker", Port: 1883}, "tcp://broker:1883"},
	{"tcp://broker/", Address{Scheme: "tcp", Host: "broker", Port: 1883}, "tcp://broker:1883"},
	{"tcp://broker:", Address{Scheme: "tcp", Host: "broker", Port: 1883}, "tcp://broker:1883"},
	{"tcp://broker:65535", Address{Scheme: "tcp", Host: "broker", Port: 65535}, "tcp://broker:65535"},
	{"tcp://my_broker-1.local.", Address{Scheme: "tcp", Host: "my_broker-1.local.", Port: 1883}, "tcp://my_broker-1.local.:1883"},
	{"127.0.0.1", Address{Scheme: "tcp", Host: "127.0.0.1", Port: 1883}, "tcp://127.0.0.1:1883"},
	{"tcp://[::1]:1884", Address{Scheme: "tcp", Host: "::1", Port: 1884}, "tcp://[::1]:1884"},
	{"tcp://[::1]", Address{Scheme: "tcp", Host: "::1", Port: 1883}, "tcp://[::1]:1883"},
	{"::1", Address{Scheme: "tcp", Host: "::1", Port: 1883}, "tcp://[::1]:1883"},
	{"tls://2001:db8::7", Address{Scheme: "tls", Host: "2001:db8::7", Port: 8883}, "tls://[2001:db8::7]:8883"},
	{"tcp://[fe80::1%25eth0]:9", Address{Scheme: "tcp", Host: "fe80::1%eth0", Port: 9}, "tcp://[fe80::1%25eth0]:9"},
	{"tcp://[fe80::1%eth0]", Address{Scheme: "tcp", Host: "fe80::1%eth0", Port: 1883}, "tcp://[fe80::1%25eth0]:1883"},
	{"ws://broker/mqtt", Address{Scheme: "ws", Host: "broker", Port: 80, Path: "/mqtt"}, "ws://broker:80/mqtt"},
	{"ws://broker/", Address{Scheme: "ws", Host: "broker", Port: 80, Path: "/"}, "ws://broker:80/"},
	{"ws://broker:9001/a%2Fb/c", Address{Scheme: "ws", Host: "broker", Port: 9001, Path: "/a%2Fb/c"}, "ws://broker:9001/a%2Fb/c"},
	{"ws://broker//a", Address{Scheme: "ws", Host: "broker", Port: 80, Path: "//a"}, "ws://broker:80//a"},
	{"wss://broker/mqtt?token=" + hidden, Address{Scheme: "wss", Host: "broker", Port: 443, Path: "/mqtt", Query: "token=" + hidden}, "wss://broker:443/mqtt"},
	{"wss://broker?x-auth=" + hidden, Address{Scheme: "wss", Host: "broker", Port: 443, Query: "x-auth=" + hidden}, "wss://broker:443"},
	{"tcp://user@broker", Address{Scheme: "tcp", Host: "broker", Port: 1883, Username: "user"}, "tcp://broker:1883"},
	{"tcp://user:" + hidden + "@broker", Address{Scheme: "tcp", Host: "broker", Port: 1883, Username: "user", Password: hidden}, "tcp://broker:1883"},
	{"tcp://user:@broker", Address{Scheme: "tcp", Host: "broker", Port: 1883, Username: "user"}, "tcp://broker:1883"},
	{"tcp://:" + hidden + "@broker", Address{Scheme: "tcp", Host: "broker", Port: 1883, Password: hidden}, "tcp://broker:1883"},
	{"user:" + hidden + "@broker:5", Address{Scheme: "tcp", Host: "broker", Port: 5, Username: "user", Password: hidden}, "tcp://broker:5"},
	{"tcp://user:" + hidden + "@[::1]:5", Address{Scheme: "tcp", Host: "::1", Port: 5, Username: "user", Password: hidden}, "tcp://[::1]:5"},
	{"tcp://a%40b:" + hidden + "%2F%23%3A@broker", Address{Scheme: "tcp", Host: "broker", Port: 1883, Username: "a@b", Password: hidden + "/#:"}, "tcp://broker:1883"},
	{"tcp://user:a:" + hidden + "@broker", Address{Scheme: "tcp", Host: "broker", Port: 1883, Username: "user", Password: "a:" + hidden}, "tcp://broker:1883"},
	{"tcp://user:a@" + hidden + "@broker", Address{Scheme: "tcp", Host: "broker", Port: 1883, Username: "user", Password: "a@" + hidden}, "tcp://broker:1883"},
	{"tcp://user:" + hidden + "+%2B!$&'()*,;=@broker", Address{Scheme: "tcp", Host: "broker", Port: 1883, Username: "user", Password: hidden + "++!$&'()*,;="}, "tcp://broker:1883"},
	{"wss://user:" + hidden + "@broker:8084/mqtt?t=" + hidden, Address{Scheme: "wss", Host: "broker", Port: 8084, Path: "/mqtt", Query: "t=" + hidden, Username: "user", Password: hidden}, "wss://broker:8084/mqtt"},
}

var badAddresses = []struct {
	raw  string
	want error
}{
	{"", ErrHost},
	{"   ", ErrHost},
	{"tcp://", ErrHost},
	{"tcp:///x", ErrHost},
	{"tcp://:1883", ErrHost},
	{"tcp://user:" + hidden + "@", ErrHost},
	{"tcp://user:" + hidden + "@:1883", ErrHost},
	{"tcp://[::1", ErrHost},
	{"tcp://[::1]x", ErrHost},
	{"tcp://[broker]", ErrHost},
	{"tcp://[127.0.0.1]", ErrHost},
	{"tcp://a:b:c", ErrHost},
	{"::%%", ErrHost},
	{"tcp://bro%20ker", ErrHost},
	{"tcp://a,b", ErrHost},
	{"tcp://bröker", ErrHost},
	{"http://broker", ErrScheme},
	{"unix:///run/mqtt", ErrScheme},
	{"mqtt+ssl://broker", ErrScheme},
	{"://broker", ErrScheme},
	{hidden + "://x:y@broker", ErrScheme},
	{"user:" + hidden + "://w@broker", ErrScheme},
	{"tcp://broker:0", ErrPort},
	{"tcp://broker:65536", ErrPort},
	{"tcp://broker:-1", ErrPort},
	{"tcp://broker:+1", ErrPort},
	{"tcp://broker:1_0", ErrPort},
	{"tcp://broker:mqtt", ErrPort},
	{"mqtt:broker", ErrPort},
	{"tcp://user:" + hidden, ErrPort},
	{"tcp://user:" + hidden + "@broker:x", ErrPort},
	{"tcp://user:12#" + hidden + "@broker", ErrUserinfo},
	{"tcp://user:12/" + hidden + "@broker", ErrUserinfo},
	{"ws://user:12/" + hidden + "@broker", ErrUserinfo},
	{"ws://user:12?" + hidden + "@broker", ErrUserinfo},
	{"tcp://user:" + hidden + "%zz@broker", ErrUserinfo},
	{"tcp://user%:" + hidden + "@broker", ErrUserinfo},
	{"tcp://broker/mqtt", ErrPath},
	{"tcp://broker?token=" + hidden, ErrPath},
	{"tls://broker#" + hidden, ErrPath},
	{"wss://broker/#" + hidden, ErrPath},
	{"wss://broker/%zz?" + hidden, ErrPath},
	{"tcp://bro ker", ErrCharacter},
	{"tcp://user:" + hidden + "\x00@broker", ErrCharacter},
	{"tcp://broker\r\nX: " + hidden, ErrCharacter},
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for _, tc := range goodAddresses {
		got, err := ParseAddress(tc.raw)
		if err != nil || got != tc.want {
			t.Errorf("ParseAddress(%q) = %#v, %v", tc.raw, got, err)
			continue
		}
		if got.String() != tc.text || got.URL().User != nil || got.URL().RawQuery != "" {
			t.Errorf("ParseAddress(%q) prints %q, want %q", tc.raw, got, tc.text)
		}
		if again, err := ParseAddress(got.String()); err != nil || again.HostPort() != got.HostPort() || again.Path != got.Path {
			t.Errorf("%q does not read back: %v, %v", got, again, err)
		}
	}
	if n := len(goodAddresses) + len(badAddresses); n < 40 {
		t.Errorf("only %d rows", n)
	}
}

func TestParseAddressRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range badAddresses {
		got, err := ParseAddress(tc.raw)
		if !errors.Is(err, tc.want) || got != (Address{}) {
			t.Errorf("ParseAddress(%q) = %v, %v, want %v", tc.raw, got, err, tc.want)
		}
		if _, ok := errors.AsType[*AddressError](err); !ok {
			t.Errorf("ParseAddress(%q) gives a %T", tc.raw, err)
		}
	}
}

// T28: an error contains nothing of an address except a harmless scheme.
func TestAddressErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	var all []string
	for _, tc := range badAddresses {
		all = append(all, tc.raw)
		_, err := ParseAddress(tc.raw)
		for _, text := range []string{fmt.Sprint(err), fmt.Sprintf("%+v %#v", err, err)} {
			if strings.Contains(text, hidden) || strings.Contains(text, "user:") {
				t.Errorf("ParseAddress(%q): %s", tc.raw, text)
			}
		}
	}
	if _, err := ParseAddresses(all); err == nil || strings.Contains(err.Error(), hidden) {
		t.Errorf("ParseAddresses: %v", err)
	}
}

func TestParseAddressesReportsAllProblems(t *testing.T) {
	t.Parallel()
	_, err := ParseAddresses([]string{"tcp://a:0", "tcp://b", "ftp://c", "ws://d:1/?e"})
	const want = "broker address 1 (tcp): port is not a number from 1 to 65535\n" +
		"broker address 3 (ftp): unknown scheme, use tcp, mqtt, ssl, tls, mqtts, ws or wss"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if _, err := ParseAddresses(nil); !errors.Is(err, ErrNoAddress) {
		t.Errorf("empty list: %v", err)
	}
	list, err := ParseAddresses([]string{"a", "tls://b"})
	if err != nil || len(list) != 2 || list[0].Secure() || !list[1].Secure() || list[1].WebSocket() {
		t.Errorf("got %v, %v", list, err)
	}
	if _, err := ParseAddress("tcp://a:0/x"); !errors.Is(err, ErrPort) || !errors.Is(err, ErrPath) {
		t.Errorf("two problems of one address: %v", err)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, tc := range goodAddresses {
		f.Add(tc.raw)
	}
	for _, tc := range badAddresses {
		f.Add(tc.raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		a, err := ParseAddress(raw)
		if err != nil {
			return
		}
		again, err := ParseAddress(a.String())
		if err != nil || again.HostPort() != a.HostPort() || again.Path != a.Path {
			t.Fatalf("%q → %q → %v, %v", raw, a, again, err)
		}
		if a.Port == 0 || a.Host == "" || again.Username != "" || again.Query != "" {
			t.Fatalf("%q → %#v", raw, a)
		}
	})
}
