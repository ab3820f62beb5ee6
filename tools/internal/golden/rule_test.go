package golden

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
)

func eventRule() protoreflect.ExtensionType { return v1.E_Event }
