package badinput_test

import "strings"

const asJSON = "application/json"

// Reasons in the dead letters of refused payloads.
const (
	deep  = "nested more than 100 deep"
	many  = "too many nested messages"
	codec = "codec"
	large = "too large"
)

// kib is the largest payload that is decoded, in KiB.
const kib = 256

func jsonBombs() []bomb {
	j := func(rule, name, topic, want string, payload func() []byte) bomb {
		contentType := asJSON
		if strings.HasPrefix(topic, "json/") {
			contentType = "" // the content type of the subscription
		}
		return bomb{rule: "JSON " + rule, name: name, topic: topic, contentType: contentType, payload: payload, want: want}
	}
	huge := strings.Repeat("1", 200<<10)
	return []bomb{
		j("depth", "100 lists", "json/list", "", nested("[", "", "]", 100)),
		j("depth", "101 lists", "json/list", deep, nested("[", "1", "]", 101)),
		j("depth", "10,000 lists", "json/list", deep, nested("[", "", "]", 10_000)),
		j("depth", "100,000 lists", "json/list", deep, nested("[", "", "]", 100_000)),
		j("depth", "250,000 lists, none closed", "json/list", deep, repeated("", "[", 250_000, "")),
		j("depth", "101 objects", "json/map", deep, nested(`{"a":`, "1", "}", 101)),
		j("depth", "40,000 objects, none closed", "json/map", deep, repeated("", `{"a":`, 40_000, "")),
		j("depth", "lists in objects", "json/map", deep, nested(`{"a":[`, "", "]}", 60)),
		j("depth", "in a field that is not known", "json/struct", deep, func() []byte {
			return []byte(`{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`)
		}),
		j("depth", "in a string", "json/map", "", repeated(`{"a":"`, "[{", 50_000, `"}`)),
		j("depth", "behind an escaped quote", "json/map", deep, func() []byte {
			return []byte(`{"a\"":` + strings.Repeat("[", 150) + strings.Repeat("]", 150) + `}`)
		}),
		j("depth", "closed only", "json/list", codec, repeated("", "]", 100_000, "")),
		j("depth", "protobuf list of 49 levels", "proto/list", "", nested("[", "", "]", 49)),
		j("depth", "protobuf list of 101 levels", "proto/list", deep, nested("[", "", "]", 101)),
		j("depth", "protobuf list of 9,000 levels", "proto/list", deep, nested("[", "", "]", 9_000)),
		j("depth", "protobuf value of 9,000 objects", "proto/value", deep, nested(`{"a":`, "1", "}", 9_000)),
		j("depth", "protobuf, in a field that is not known", "proto/file", deep, func() []byte {
			return []byte(`{"x":` + strings.Repeat("[", 5_000) + strings.Repeat("]", 5_000) + `}`)
		}),
		j("depth", "nested types of a descriptor", "proto/file", deep, nested(`{"messageType":[{"nestedType":[`, "", "]}]}", 60)),

		j("count", "32,767 empty objects", "json/list", "", listOf("{}", 32_767)),
		j("count", "80,000 empty objects", "json/list", many, listOf("{}", 80_000)),
		j("count", "80,000 empty lists", "json/list", many, listOf("[]", 80_000)),
		j("count", "80,000 empty strings", "json/list", "", listOf(`""`, 80_000)),
		j("count", "130,000 numbers", "json/list", "", listOf("1", 130_000)),
		j("count", "50,000 nulls", "json/list", "", listOf("null", 50_000)),
		j("count", "25,000 members", "json/map", "", object(25_000, `"%d":1`)),
		j("count", "15,000 members with objects in them", "json/map", "", object(15_000, `"%d":{}`)),
		j("count", "40,000 times the same member", "json/map", "", repeated("{", `"a":1,`, 40_000, `"a":1}`)),
		j("count", "40,000 times a member that is known", "json/struct", "", repeated("{", `"celsius":1,`, 20_000, `"celsius":1}`)),
		j("count", "20,000 members that are not known", "json/struct", "", object(20_000, `"x%d":1`)),
		j("count", "80,000 empty objects in protobuf", "proto/list", many, listOf("{}", 80_000)),
		j("count", "130,000 numbers in protobuf", "proto/list", "", listOf("1", 130_000)),
		j("count", "25,000 members in protobuf", "proto/value", "", object(25_000, `"%d":1`)),
		j("count", "member of protobuf twice", "proto/file", codec, text(`{"name":"a","name":"b"}`)),
		j("count", "key of protobuf twice", "proto/value", codec, text(`{"a":1,"a":2}`)),

		j("numbers", "over a float64", "json/struct", codec, text(`{"celsius":1e400}`)),
		j("numbers", "under a float64, negative", "json/struct", codec, text(`{"celsius":-1e400}`)),
		j("numbers", "too small for a float64", "json/struct", "", text(`{"celsius":1e-400}`)),
		j("numbers", "200 KiB of digits", "json/struct", codec, text(`{"celsius":`+huge+`}`)),
		j("numbers", "200 KiB of digits behind a point", "json/struct", "", text(`{"celsius":0.`+huge+`}`)),
		j("numbers", "200 KiB of digits for an integer", "proto/int64", codec, text(huge)),
		j("numbers", "200 KiB of zeros behind an integer's point", "proto/int64", "", text("1."+strings.Repeat("0", 200<<10))),
		j("numbers", "huge exponent of an integer", "proto/int64", codec, text("1e999999999")),
		j("numbers", "exponent over 64 bits", "proto/int64", codec, text("1e99999999999999999999")),
		j("numbers", "huge negative exponent of an integer", "proto/int64", codec, text("1e-999999999")),
		j("numbers", "huge exponent of a double", "proto/double", codec, text("1e999999999")),
		j("numbers", "one more than an int64", "proto/int64", codec, text(`"9223372036854775808"`)),
		j("numbers", "integer with a fraction", "proto/int64", codec, text("1.5")),
		j("numbers", "integer with an exponent", "proto/int64", "", text("1e2")),
		j("numbers", "leading zeros", "json/struct", codec, text(`{"celsius":0001}`)),
		j("numbers", "hexadecimal", "json/struct", codec, text(`{"celsius":0x10}`)),
		j("numbers", "plus sign", "json/struct", codec, text(`{"celsius":+1}`)),
		j("numbers", "NaN", "json/struct", codec, text(`{"celsius":NaN}`)),
		j("numbers", "NaN of protobuf, a string", "proto/double", "", text(`"NaN"`)),
		j("numbers", "string for a number", "json/struct", codec, text(`{"celsius":"`+strings.Repeat("9", 1000)+`"}`)),

		j("text", "string of 250 KiB", "json/map", "", repeated(`{"a":"`, "x", 250<<10, `"}`)),
		j("text", "name of 250 KiB", "json/map", "", repeated(`{"`, "x", 250<<10, `":1}`)),
		j("text", "unknown name of 250 KiB in protobuf", "proto/file", "", repeated(`{"`, "x", 250<<10, `":1}`)),
		j("text", "escapes of 250 KiB", "json/map", "", repeated(`{"a":"`, `\u0041`, 42_000, `"}`)),
		j("text", "bytes that are no UTF-8", "json/map", "", text("{\"a\":\"\xff\xfe\"}")), // encoding/json replaces such bytes
		j("text", "bytes that are no UTF-8 in protobuf", "proto/string", codec, text("\"\xff\xfe\"")),
		j("text", "overlong UTF-8 in protobuf", "proto/string", codec, text("\"\xc0\xaf\"")),
		j("text", "half a surrogate pair in protobuf", "proto/string", codec, text(`"\ud800"`)),
		j("text", "escaped U+0000", "json/map", "", text(`{"a":"\u0000"}`)),
		j("text", "control character in a string", "json/map", codec, text("{\"a\":\"\x01\"}")),
		j("text", "line feed in a string", "json/map", codec, text("{\"a\":\"\n\"}")),
		j("text", "escape sequence for a value", "json/map", codec, text("{\"a\":\x1b[31m}")),
		j("text", "escape sequence for a value in protobuf", "proto/value", codec, text("\x1b[31m")),
		j("text", "C1 control for a value in protobuf", "proto/value", codec, text("\u009b31m")),
		j("text", "line separator in a name that is wrong", "proto/file", codec, text("{\"name\":{\"\u2028ERROR forged\":1}}")),
		j("text", "byte order mark, which says nothing", "json/map", "", text("\ufeff{}")),
		j("text", "two byte order marks", "json/map", codec, text("\ufeff\ufeff{}")),
		j("text", "UTF-16", "json/map", codec, text("\xff\xfe{\x00}\x00")),

		j("form", "nothing, which deletes", "json/map", "", text("")),
		j("form", "blanks of 256 KiB", "json/map", codec, repeated("", " ", kib<<10, "")),
		j("form", "two documents", "json/map", codec, text("{}{}")),
		j("form", "rubbish behind", "json/map", codec, text("{} <script>")),
		j("form", "comment", "json/map", codec, text("{}//a")),
		j("form", "single quotes", "json/map", codec, text("{'a':1}")),
		j("form", "cut off in an escape", "json/map", codec, text(`{"a":"\u00`)),
		j("form", "cut off behind a backslash", "json/map", codec, repeated(`{"`, "a", 300, `\`)),
		j("form", "null", "json/map", "", text("null")),
		j("form", "list for an object", "json/struct", codec, text("[1]")),
	}
}
