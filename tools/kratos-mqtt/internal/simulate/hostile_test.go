package simulate_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/simulate"
)

// Rules that want endless or huge messages, or fit no value, are errors in bounded time and memory.
func TestHostileRules(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ fields, want string }{
		"pattern":    {`string a = 2 [(buf.validate.field).string.pattern = "^((((((((((((a+b)+c)+d)+e)+f)+g)+h)+i)+j)+k)+l)+m)+$", (buf.validate.field).string.max_len = 5];`, "want a message of more than"},
		"items":      {`repeated string a = 2 [(buf.validate.field).repeated = {min_items: 1000000, items: {string: {min_len: 100000}}}];`, "want a message of more than"},
		"recursion":  {`M a = 2 [(buf.validate.field).required = true]; M b = 3 [(buf.validate.field).required = true]; M c = 4 [(buf.validate.field).required = true];`, "want a message of more than"},
		"long":       {`string a = 2 [(buf.validate.field).string = {min_len: 1000000, max_len: 1000100}];`, ""},
		"wide":       {`repeated M a = 2; repeated M b = 3; repeated M c = 4; repeated M d = 5; repeated M e = 6; map<string, M> f = 7; repeated M g = 8; repeated M h = 9;`, ""},
		"contradict": {`string a = 2 [(buf.validate.field).string = {min_len: 10, max_len: 2}]; repeated int32 c = 4 [(buf.validate.field).repeated = {min_items: 9, max_items: 2}];`, "validation error"},
		"pairs":      {`map<bool, int32> a = 2 [(buf.validate.field).map = {min_pairs: 1000000}];`, "validation error"},
		"text":       {`string a = 2 [(buf.validate.field).int32.const = 5];`, "compilation error"},
		"enum":       {`E a = 2 [(buf.validate.field).string.const = "x"];`, "compilation error"},
		"time":       {`google.protobuf.Timestamp a = 2 [(buf.validate.field).int32.const = 5];`, "compilation error"},
		"inner":      {`message In { int32 a = 1 [(buf.validate.field).string = {in: ["x"]}]; } In a = 2;`, "compilation error"},
		"items text": {`repeated int32 a = 2 [(buf.validate.field).repeated.items.string.const = "x"];`, "compilation error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			text := fmt.Sprintf(`syntax = "proto3";
package hostile.v1;
import "buf/validate/validate.proto";
import "google/protobuf/empty.proto";
import "google/protobuf/timestamp.proto";
import "kratosmqtt/v1/options.proto";
service HostileEvents {
  rpc Send(M) returns (google.protobuf.Empty) { option (kratosmqtt.v1.event) = {topic: "hostile/{id}"}; }
}
enum E { E_UNSPECIFIED = 0; E_A = 1; }
message M { string id = 1; %s }
`, test.fields)
			if err := os.WriteFile(filepath.Join(folder, "hostile.proto"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, methods := load(t, folder)
			fleet, err := simulate.New(method(t, methods, "Send"), simulate.Options{Devices: 1, Seed: 1})
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%.300v, want %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			in, _, err := fleet.Message(0, time.Now())
			if err != nil || proto.Size(in) > 8<<20 {
				t.Errorf("%d bytes, %v", proto.Size(in), err)
			}
		})
	}
}
