package golden

import (
	"testing"

	"github.com/go-kratos/kratos/v2/errors"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/foreign"
	otherpb "github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/foreign/other"
)

// TestExtensionNumbers pins the numbers of the options, which are in the descriptors of
// all users.
func TestExtensionNumbers(t *testing.T) {
	t.Parallel()
	for extension, want := range map[protoreflect.ExtensionType]protoreflect.FieldNumber{
		v1.E_Event: 535190801, v1.E_Events: 535190802,
	} {
		if got := extension.TypeDescriptor().Number(); got != want {
			t.Errorf("%s has number %d, want %d", extension.TypeDescriptor().FullName(), got, want)
		}
	}
}

// TestBesideOtherExtensions links the options with extensions of others for the same
// messages: two with the same number would panic before this test starts.
func TestBesideOtherExtensions(t *testing.T) {
	t.Parallel()
	save := foreign.File_cases_foreign_foreign_proto.Services().Get(0).Methods().Get(0).Options()
	if got := proto.GetExtension(save, v1.E_Event).(*v1.EventRule).GetTopic(); got != "reports/{id}" {
		t.Errorf("our option is %q", got)
	}
	if got := proto.GetExtension(save, annotations.E_Http).(*annotations.HttpRule).GetPost(); got != "/reports/{id}" {
		t.Errorf("google.api.http is %q", got)
	}
	if got := proto.GetExtension(save, otherpb.E_Audience); got != "devices" {
		t.Errorf("option 50001 is %q", got)
	}
	if errors.E_Code == nil {
		t.Error("the options of Kratos' errors are not linked")
	}
	seen := make(map[protoreflect.FieldNumber]protoreflect.FullName)
	protoregistry.GlobalTypes.RangeExtensionsByMessage((*descriptorpb.MethodOptions)(nil).ProtoReflect().Descriptor().FullName(), func(e protoreflect.ExtensionType) bool {
		seen[e.TypeDescriptor().Number()] = e.TypeDescriptor().FullName()
		return true
	})
	for _, number := range []protoreflect.FieldNumber{50001, 72295728, 535190801} {
		if seen[number] == "" {
			t.Errorf("no option of methods has number %d: %v", number, seen)
		}
	}
}
