package generate_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/generate"
)

const root = "../../../.."

// TestSameAsProtoc generates the contracts of the reference service, whose committed files protoc
// made.
func TestSameAsProtoc(t *testing.T) {
	t.Parallel()
	protos, err := generate.Sources(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/kratos-mqtt/kratos-mqtt"
	made, err := generate.Files(t.Context(), generate.Project{Module: module, Protos: protos})
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for name, text := range made {
		want, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		// make api splits the module path in literals, see tools/descsplit.
		split := []byte(strings.Replace(module, "/kratos-mqtt/", `/kratos-mqtt/" + "`, 1))
		if want = bytes.ReplaceAll(want, split, []byte(module)); !bytes.Equal(text, want) {
			t.Errorf("%s differs from the committed file", name)
		}
		compared++
	}
	if compared < 10 {
		t.Errorf("compared %d files only", compared)
	}
}

func TestErrorsHaveAPlace(t *testing.T) {
	t.Parallel()
	for want, protos := range map[string]map[string]string{
		"there are no .proto files below api/ and internal/": {"third_party/a.proto": ""},
		"a.proto:2:1": {"api/a.proto": "syntax = \"proto3\";\nmistake"},
		"a.proto:5:": {"api/a.proto": `syntax = "proto3";
package a; import "google/protobuf/empty.proto"; import "kratosmqtt/v1/options.proto"; option go_package = "m/api/a;a";
message E {}
service Events {
  rpc On(E) returns (google.protobuf.Empty) { option (kratosmqtt.v1.event) = {topic: "a/#/b"}; }
}`},
	} {
		files := make(map[string][]byte)
		for name, text := range protos {
			files[name] = []byte(text)
		}
		if _, err := generate.Files(t.Context(), generate.Project{Module: "m", Protos: files}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
