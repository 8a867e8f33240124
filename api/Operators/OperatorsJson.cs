using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mesh.Api.Operators;

/// <summary>How the operators' API is written as JSON: camelCase, generated at build time so that it survives trimming.</summary>
[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(OperatorsError))]
[JsonSerializable(typeof(NodeList))]
[JsonSerializable(typeof(ServiceList))]
[JsonSerializable(typeof(ConfigDump))]
[JsonSerializable(typeof(StatList))]
[JsonSerializable(typeof(EdgeList))]
[JsonSerializable(typeof(TokenRequest))]
[JsonSerializable(typeof(IssuedToken))]
[JsonSerializable(typeof(IdentityList))]
[JsonSerializable(typeof(RevocationRequest))]
[JsonSerializable(typeof(RevocationList))]
[JsonSerializable(typeof(RotationRequest))]
[JsonSerializable(typeof(AuthorityStatus))]
[JsonSerializable(typeof(AuthorizationQuestion))]
[JsonSerializable(typeof(AuthorizationAnswer))]
public sealed partial class OperatorsJson : JsonSerializerContext;
