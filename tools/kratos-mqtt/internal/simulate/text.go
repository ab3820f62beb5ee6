package simulate

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// text returns a text for a field, as its rules want it, else as its name does.
func (d *device) text(name, path string, l *limits) string {
	if l == nil {
		return d.named(name, path)
	}
	if d.own[path] { // the same each time
		if d.ids[path] == "" {
			d.ids[path] = d.ruled(name, path, l)
		}
		return d.ids[path]
	}
	return d.ruled(name, path, l)
}

// attempts bounds how often a value is drawn again because it breaks a rule.
const attempts = 100

// ruled returns a text within the limits, or the last attempt, which the validator reports.
func (d *device) ruled(name, path string, l *limits) (text string) {
	for i := range attempts {
		text = fit(d.draft(name, path, l, i), l, d.word())
		if d.spend(len(text)); !l.excludes(text) || d.over() {
			break
		}
	}
	return text
}

func (d *device) draft(name, path string, l *limits, attempt int) string {
	if pattern := l.text("pattern"); pattern != "" {
		return d.matching(pattern, attempt/4)
	}
	if format := l.format(); format != "" {
		return d.formatted(format)
	}
	text := d.named(name, path)
	prefix, suffix, within := l.text("prefix"), l.text("suffix"), l.text("contains")
	if !strings.Contains(text, within) {
		text += within
	}
	if most := l.size("max_len", l.size("len", 1<<20)); len(prefix)+len(text)+len(suffix) > most {
		text = within // as little as there has to be
	}
	return prefix + text + suffix
}

// fit makes a text longer or shorter, where only a length is wanted.
func fit(text string, l *limits, filler string) string {
	if l.text("pattern") != "" || l.format() != "" {
		return text
	}
	least, most := l.lengths()
	suffix := l.text("suffix")
	stem := strings.TrimSuffix(text, suffix)
	if n := least - utf8.RuneCountInString(stem) - utf8.RuneCountInString(suffix); n > 0 {
		stem += strings.Repeat(filler, n/len(filler)+1)[:n]
	}
	if over := len(stem) + len(suffix) - most; over > 0 && l.text("contains") == "" && l.text("prefix") == "" {
		stem = stem[:max(0, len(stem)-over)]
	}
	return stem + suffix
}

// lengths returns the bounds of a length, in characters and for a text of ASCII in bytes.
func (l *limits) lengths() (least, most int) {
	least, most = 0, 1<<20
	for _, kind := range []protoreflect.Name{"len", "bytes"} {
		exact := kind
		if kind == "bytes" {
			exact = "len_bytes"
		}
		least = max(least, l.size("min_"+kind, 0), l.size(exact, 0))
		most = min(most, l.size("max_"+kind, 1<<20), l.size(exact, 1<<20))
	}
	return least, most
}

// excludes reports whether a text breaks a rule that drawing again may keep.
func (l *limits) excludes(text string) bool {
	least, most := l.lengths()
	if n := utf8.RuneCountInString(text); n < least || n > most {
		return true
	}
	not := l.text("not_contains")
	return not != "" && strings.Contains(text, not)
}

// bytes returns bytes for a field.
func (d *device) bytes(l *limits) []byte {
	if l != nil {
		if format := l.format(); format != "" {
			b := make([]byte, 16)
			if format == "ipv4" || format == "ip" {
				b = b[:4]
			}
			d.random(b)
			return b
		}
		if pattern := l.text("pattern"); pattern != "" {
			return []byte(d.ruled("", "", l))
		}
	}
	least, most := 4, 16
	if l != nil {
		from, to := l.lengths()
		least = min(max(least, from), to)
		most = min(max(most, least), to)
	}
	prefix, within, suffix := []byte(l.text("prefix")), []byte(l.text("contains")), []byte(l.text("suffix"))
	fixed := len(prefix) + len(within) + len(suffix)
	b := make([]byte, max(0, least+d.IntN(most-least+1)-fixed))
	d.spend(len(b))
	d.random(b)
	return slices.Concat(prefix, b, bytes.Clone(within), suffix)
}

func (d *device) random(b []byte) {
	for i := range b {
		b[i] = byte(d.IntN(256))
	}
}

// format returns the name of the format that a rule wants, or "".
func (l *limits) format() protoreflect.Name {
	if of := l.Descriptor().Oneofs().ByName("well_known"); of != nil {
		if known := l.WhichOneof(of); known != nil {
			return known.Name()
		}
	}
	return ""
}

// formatted returns a text of a format that a rule names.
func (d *device) formatted(format protoreflect.Name) string {
	n := d.IntN(200) + 1
	switch format {
	case "email":
		return d.word() + "@example.com"
	case "hostname", "address":
		return d.word() + ".example.com"
	case "host_and_port":
		return fmt.Sprintf("%s.example.com:%d", d.word(), 1024+n)
	case "ip", "ipv4":
		return fmt.Sprintf("192.0.2.%d", n)
	case "ipv6":
		return fmt.Sprintf("2001:db8::%x", n)
	case "ip_with_prefixlen", "ipv4_with_prefixlen":
		return fmt.Sprintf("192.0.2.%d/24", n)
	case "ipv6_with_prefixlen":
		return fmt.Sprintf("2001:db8::%x/64", n)
	case "ip_prefix", "ipv4_prefix":
		return fmt.Sprintf("198.18.%d.0/24", n)
	case "ipv6_prefix":
		return fmt.Sprintf("2001:db8:%x::/48", n)
	case "uri", "uri_ref":
		return "https://example.com/" + d.word()
	case "uuid":
		return d.uuid()
	case "tuuid":
		return strings.ReplaceAll(d.uuid(), "-", "")
	case "ulid":
		return d.matching("[0-7][0-9A-HJKMNP-TV-Z]{25}", 0)
	}
	return d.word()
}

// word returns a text for a field whose name says nothing.
func (d *device) word() string {
	words := [...]string{"alder", "birch", "cedar", "fern", "hazel", "maple", "oak", "willow"}
	return words[d.IntN(len(words))]
}

// named returns a text that suits the name of a field.
func (d *device) named(name, path string) string {
	if d.own[path] {
		stem := strings.TrimSuffix(name, "_id")
		if stem == "id" || stem == "" {
			stem = "device"
		}
		return fmt.Sprintf("%s-%04d", stem, d.number)
	}
	switch {
	case has(name, "email"):
		return d.word() + "@example.com"
	case has(name, "url", "uri", "link"):
		return "https://example.com/" + d.word()
	case name == "ip" || has(name, "ip_addr", "_ip"):
		return fmt.Sprintf("192.0.2.%d", 1+d.IntN(254))
	case name == "mac" || has(name, "mac_addr", "_mac"):
		return fmt.Sprintf("00:00:5e:00:53:%02x", d.IntN(256))
	case name == "id" || strings.HasSuffix(name, "_id") || has(name, "uuid"):
		return d.uuid()
	case has(name, "date"):
		return d.now.UTC().Format(time.DateOnly)
	case has(name, "time") || strings.HasSuffix(name, "_at"):
		return d.now.UTC().Format(time.RFC3339)
	case has(name, "version"):
		return fmt.Sprintf("%d.%d.%d", d.IntN(3), d.IntN(10), d.IntN(10))
	case has(name, "json", "_data", "content"):
		return fmt.Sprintf(`{"value":%d}`, d.IntN(100))
	case name == "unit":
		return "C"
	case has(name, "currency"):
		return "EUR"
	case has(name, "country"):
		return "NL"
	case has(name, "lang", "locale"):
		return "en"
	}
	return d.word()
}

// uuid returns an id as RFC 9562 describes for version 4.
func (d *device) uuid() string {
	a, b := d.Uint64(), d.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff)
}
