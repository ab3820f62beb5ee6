package protosource_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/protosource"
)

const head = "syntax = \"proto3\";\npackage p;\n"

func parse(t *testing.T, text string) *protosource.File {
	t.Helper()
	f, err := protosource.Parse("p.proto", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestEditsAreSmallIdempotentAndReversible adds an import and a field, twice, and removes them, twice.
func TestEditsAreSmallIdempotentAndReversible(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ before, after string }{
		"behind other imports": {
			head + "import \"a.proto\"; // first\nimport \"z.proto\";\n\nmessage B {\n  A a = 1;\n}\n",
			head + "import \"a.proto\"; // first\nimport \"k.proto\";\nimport \"z.proto\";\n\nmessage B {\n  A a = 1;\n  k.S mqtt = 2;\n}\n",
		},
		"in front of other imports": {
			head + "import \"z.proto\";\n\nmessage B {\n\tA a = 1;\n}\n",
			head + "import \"k.proto\";\nimport \"z.proto\";\n\nmessage B {\n\tA a = 1;\n\tk.S mqtt = 2;\n}\n",
		},
		"the first import": {
			head + "\nmessage B {\n}\n",
			head + "\nimport \"k.proto\";\n\nmessage B {\n  k.S mqtt = 1;\n}\n",
		},
		"numbers in use": {
			head + "import \"a.proto\";\nmessage B {\n  reserved 9, 3 to 5;\n  oneof x {\n    A a = 2;\n  }\n  map<string, A> m = 11; // last\n  message N {\n    A a = 40;\n  }\n}\n",
			head + "import \"a.proto\";\nimport \"k.proto\";\nmessage B {\n  reserved 9, 3 to 5;\n  oneof x {\n    A a = 2;\n  }\n  map<string, A> m = 11; // last\n  message N {\n    A a = 40;\n  }\n  k.S mqtt = 12;\n}\n",
		},
		"on one line": {
			head + "message B { A a = 1; }\nmessage C {}\n",
			head + "\nimport \"k.proto\";\nmessage B { A a = 1; k.S mqtt = 2; }\nmessage C {}\n",
		},
		"an empty message on one line": {
			head + "message B {}\n",
			head + "\nimport \"k.proto\";\nmessage B { k.S mqtt = 1;}\n",
		},
		"numbers that protobuf reserves": {
			head + "message B {\n  A a = 18999;\n}\n",
			head + "\nimport \"k.proto\";\nmessage B {\n  A a = 18999;\n  k.S mqtt = 20000;\n}\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := parse(t, tt.before)
			for range 2 {
				if err := errors.Join(f.Import("k.proto"), f.Field("B", "k.S", "mqtt")); err != nil {
					t.Fatal(err)
				}
				if got := string(f.Bytes()); got != tt.after {
					t.Fatalf("got\n%s\nwant\n%s", got, tt.after)
				}
			}
			for range 2 {
				if err := errors.Join(f.RemoveField("B", "k.S", "mqtt", false), f.RemoveImport("k.proto")); err != nil {
					t.Fatal(err)
				}
				if got := string(f.Bytes()); got != tt.before {
					t.Fatalf("got back\n%s\nwant\n%s", got, tt.before)
				}
			}
		})
	}
}

// TestUnknownPlacesAreErrors leave the file as it is.
func TestUnknownPlacesAreErrors(t *testing.T) {
	t.Parallel()
	const text = head + "message B {\n  // mine\n  k.S mqtt = 1;\n  reserved 5 to max;\n}\n"
	for want, do := range map[string]func(f *protosource.File) error{
		"p.proto: there is no message C":                    func(f *protosource.File) error { return f.Field("C", "k.S", "mqtt") },
		"p.proto:5: the field mqtt of B is a k.S, want k.T": func(f *protosource.File) error { return f.Field("B", "k.T", "mqtt") },
		"p.proto:3: the numbers of B are used up":           func(f *protosource.File) error { return f.Field("B", "k.S", "other") },
		"p.proto:5: mqtt of B was changed":                  func(f *protosource.File) error { return f.RemoveField("B", "k.S", "mqtt", false) },
	} {
		f := parse(t, text)
		if err := do(f); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if string(f.Bytes()) != text {
			t.Errorf("changed the file:\n%s", f.Bytes())
		}
	}
	f := parse(t, text)
	if err := f.RemoveField("B", "k.S", "mqtt", true); err != nil || strings.Contains(string(f.Bytes()), "mqtt") {
		t.Errorf("%v\n%s", err, f.Bytes())
	}
	if _, err := protosource.Parse("p.proto", []byte("message {")); err == nil || !strings.Contains(err.Error(), "p.proto:1:9") {
		t.Errorf("%v", err)
	}
	if err := parse(t, "").Import("k.proto"); err == nil {
		t.Error("an import in an empty file")
	}
}
