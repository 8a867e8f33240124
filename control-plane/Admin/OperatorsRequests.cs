using System.Text.Json;
using System.Text.Json.Serialization;
using Mesh.Api.Operators;

namespace Mesh.ControlPlane.Admin;

/// <summary>The requests of the operators' API as the control plane reads them: what a request must have, it must have.</summary>
[JsonSourceGenerationOptions(
    JsonSerializerDefaults.Web, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(TokenRequest))]
[JsonSerializable(typeof(RevocationRequest))]
[JsonSerializable(typeof(RotationRequest))]
[JsonSerializable(typeof(AuthorizationQuestion))]
internal sealed partial class OperatorsRequests : JsonSerializerContext;
