package badinput_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

const cloudEvent = "application/cloudevents+json"

// eventWith returns a structured CloudEvent with additional members.
func eventWith(members string) func() []byte {
	return text(`{"specversion":"1.0","id":"1","source":"s","type":"t",` + members + `}`)
}

func manyMembers(n int, format string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(list, ",")
}

func eventBombs() []bomb {
	e := func(rule, name, topic, want string, payload func() []byte) bomb {
		return bomb{rule: "CloudEvent " + rule, name: name, topic: topic, contentType: cloudEvent, payload: payload, want: want}
	}
	lists := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	inner := string(eventWith(`"data":{"celsius":1}`)())
	return []bomb{
		e("depth", "data of 99 lists", "json/list", "", eventWith(`"data":`+lists(99))),
		e("depth", "data of 100 lists", "json/list", deep, eventWith(`"data":`+lists(100))),
		e("depth", "attribute of 5,000 lists", "json/map", deep, eventWith(`"x":`+lists(5_000)+`,"data":{}`)),
		e("count", "data of 80,000 objects", "json/list", many, eventWith(`"data":[`+strings.Repeat("{},", 80_000)+`{}]`)),
		e("count", "60 attributes in all", "json/map", "", eventWith(manyMembers(56, `"a%d":"v"`)+`,"data":{}`)),
		e("count", "65 attributes in all", "json/map", large, eventWith(manyMembers(61, `"a%d":"v"`)+`,"data":{}`)),
		e("count", "20,000 attributes", "json/map", large, eventWith(manyMembers(20_000, `"a%d":1`)+`,"data":{}`)),
		e("count", "the same attribute 20,000 times", "json/map", "", eventWith(strings.Repeat(`"a":"v",`, 20_000)+`"data":{}`)),
		e("size", "attribute of 9 KiB", "json/map", large, eventWith(`"a":"`+strings.Repeat("x", 9<<10)+`","data":{}`)),
		e("size", "attribute with a name of 129 bytes", "json/map", large, eventWith(`"`+strings.Repeat("a", 129)+`":"v","data":{}`)),
		e("size", "id of 257 bytes", "json/map", large, text(`{"specversion":"1.0","id":"`+strings.Repeat("1", 257)+`","source":"s","type":"t","data":{}}`)),
		e("size", "data of 250 KiB in base64", "json/map", codec, eventWith(`"data_base64":"`+strings.Repeat("AAAA", 62_000)+`"`)),
		e("size", "correlation data of 200 KiB", "json/map", "", eventWith(`"correlationdata":"`+strings.Repeat("AAAA", 50_000)+`","data":{}`)),
		e("form", "both kinds of data", "json/list", codec, eventWith(`"data":{},"data_base64":"e30="`)),
		e("form", "bad base64", "json/list", codec, eventWith(`"data_base64":"!"`)),
		e("form", "base64 that is a number", "json/list", codec, eventWith(`"data_base64":1.5`)),
		e("form", "other version", "json/list", codec, text(`{"specversion":"9","id":"1","source":"s","type":"t","data":{}}`)),
		e("form", "version with a line feed", "json/list", codec, text(`{"specversion":"9\n\u001b[31mERROR forged","id":"1","source":"s","type":"t"}`)),
		e("form", "version with a C1 control, raw", "json/list", codec, text("{\"specversion\":\"\u009b31m\",\"id\":\"1\",\"source\":\"s\",\"type\":\"t\"}")),
		e("form", "no id", "json/list", codec, text(`{"specversion":"1.0","source":"s","type":"t","data":{}}`)),
		e("form", "list", "json/struct", codec, text(`[1,2]`)),
		e("form", "id that is an object", "json/map", "", text(`{"specversion":"1.0","id":{"a":[]},"source":"s","type":"t","data":{}}`)),
		e("form", "attributes with control characters", "json/map", "", eventWith(`"a\r\nb":"\u001b[31m\u0000","data":{}`)),
		e("form", "event in an event is taken out once", "json/struct", "", eventWith(`"data":`+inner+`,"datacontenttype":"application/cloudevents+json"`)),
		e("content type", "YAML that grows", "json/map", codec, eventWith(`"datacontenttype":"application/yaml","data":"`+strings.ReplaceAll(laughs(), "\n", `\n`)+`"`)),
		e("content type", "gzip", "json/map", codec, eventWith(`"datacontenttype":"application/gzip","data_base64":"`+base64.StdEncoding.EncodeToString(zipped())+`"`)),
		e("content type", "60 KiB of it", "json/map", codec, eventWith(`"datacontenttype":"`+strings.Repeat("a/", 30<<10)+`","data":"text"`)),
		e("content type", "with a line feed", "json/map", codec, eventWith(`"datacontenttype":"application/json\nERROR","data":"text"`)),
	}
}

// user encodes user properties.
func user(n int, key, value string) (b []byte) {
	for i := range n {
		name := key
		if strings.Contains(key, "%") {
			name = fmt.Sprintf(key, i)
		}
		b = append(append(append(b, 0x26), mqtttest.StringField(name)...), mqtttest.StringField(value)...)
	}
	return b
}

func headerBombs() []bomb {
	good := text(`{"celsius":1}`)
	h := func(rule, name, want string, properties []byte) bomb {
		return bomb{rule: rule, name: name, topic: "json/struct", properties: properties, payload: good, want: want}
	}
	return []bomb{
		h("64 headers", "64", "", user(64, "k%d", "v")),
		h("64 headers", "65", "65 headers, want at most 64", user(65, "k%d", "v")),
		h("64 headers", "65 of one name", "65 headers, want at most 64", user(65, "k", "v")),
		h("64 headers", "50,000 empty ones", "50000 headers, want at most 64", user(50_000, "", "")),
		h("64 headers", "100,000 empty ones", "packet of 500040 bytes, want at most 327680", user(100_000, "", "")),
		h("128 bytes a name", "128", "", user(1, strings.Repeat("k", 128), "v")),
		h("128 bytes a name", "129", "name of 129 bytes, want at most 128", user(1, strings.Repeat("k", 129), "v")),
		h("128 bytes a name", "6 KiB of line separators", "name of 6144 bytes", user(1, strings.Repeat("\u2028", 2<<10), "v")),
		h("128 bytes a name", "60 KiB of line separators", "headers of 61441 bytes", user(1, strings.Repeat("\u2028", 20<<10), "v")),
		h("8 KiB of headers", "exactly", "", user(1, "k", strings.Repeat("v", 8<<10-1))),
		h("8 KiB of headers", "one byte more", "headers of 8193 bytes, want at most 8192", user(1, "k", strings.Repeat("v", 8<<10))),
		h("8 KiB of headers", "60 KiB", "want at most 8192", user(1, "k", strings.Repeat("v", 60<<10))),
		h("256 bytes of id", "256", "", user(1, "id", strings.Repeat("1", 256))),
		h("256 bytes of id", "257", "id of 257 bytes, want at most 256", user(1, "id", strings.Repeat("1", 257))),
		h("CloudEvent attributes by prefix", "60 of them", "", append(user(1, "ce-specversion", "1.0"), user(60, "ce-a%d", "v")...)),
		h("trace context", "rubbish", "", append(user(1, "traceparent", strings.Repeat("f", 5000)), user(1, "tracestate", "\u2028[31m")...)),
		{rule: "256 KiB of payload", name: "exactly", topic: "json/map", payload: repeated(`{"a":"`, "x", kib<<10-8, `"}`)},
		{rule: "256 KiB of payload", name: "one byte more", topic: "json/map", payload: repeated(`{"a":"`, "x", kib<<10-7, `"}`), want: "payload of 262145 bytes, want at most 262144"},
		{rule: "256 KiB of payload", name: "900 KiB of lists", topic: "json/list", payload: repeated("", "[", 900<<10, ""), want: large},
		{rule: "256 KiB of payload", name: "900 KiB of empty messages", topic: "proto/list", contentType: asProto, payload: repeatedBytes("\x0a\x00", 450<<10), want: large},
		{rule: "256 KiB of payload", name: "900 KiB of a CloudEvent", topic: "json/map", contentType: cloudEvent, payload: eventWith(`"data":"` + strings.Repeat("x", 900<<10) + `"`), want: large},
	}
}

// laughs returns YAML whose nested aliases expand to a huge document.
func laughs() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		alias := fmt.Sprintf("*a%d", i-1)
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.Join([]string{alias, alias, alias, alias, alias, alias, alias, alias, alias}, ","))
	}
	return b.String()
}

// zipped returns a megabyte of JSON compressed to a kilobyte.
func zipped() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(`{"a":"` + strings.Repeat("x", 1<<20) + `"}`))
	_ = w.Close()
	return b.Bytes()
}

// The publisher chooses the content type: it selects JSON or protobuf, and its other parts have no
// effect.
func contentTypeBombs() []bomb {
	const rule = "a content type picks JSON or protobuf only"
	c := func(name, topic, contentType, want string, payload func() []byte) bomb {
		return bomb{rule: rule, name: name, topic: topic, contentType: contentType, payload: payload, want: want}
	}
	yaml, object := text(laughs()), text(`{"celsius":1}`)
	encoded := c("gzip by content encoding", "json/map", asJSON, codec, zipped)
	encoded.properties = user(1, "content-encoding", "gzip")
	return []bomb{
		encoded,
		c("YAML", "json/map", "application/yaml", codec, yaml),
		c("YAML by suffix", "json/map", "application/x+yaml", codec, yaml),
		c("YAML that is JSON, too", "json/struct", "application/yaml", "", object),
		c("XML", "json/struct", "application/xml", codec, text("<reading><celsius>1</celsius></reading>")),
		c("form", "json/struct", "application/x-www-form-urlencoded", codec, text("celsius=1")),
		c("form by suffix", "proto/string", "application/a+x-www-form-urlencoded", codec, text("value=1")),
		c("gzip", "json/map", "application/gzip", codec, zipped),
		c("gzip by suffix", "json/map", "application/json+gzip", codec, zipped),
		c("protobuf for what is none", "json/struct", asProto, codec, text("\x08\x01")),
		c("JSON in another character set", "json/struct", "application/json; charset=utf-7", "", object),
		c("JSON by suffix", "json/struct", "application/vnd.a+json", "", object),
		c("no media type", "json/struct", "\u2028[31m;;;", "", object),
		c("path upwards", "json/struct", "application/../../etc/passwd", "", object),
		c("60 KiB", "json/struct", "application/"+strings.Repeat("a", 60<<10), "", object),
		c("60 KiB of parameters", "json/struct", asJSON+strings.Repeat("; a=b", 10<<10), "", object),
	}
}
