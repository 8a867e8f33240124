using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mesh.ControlPlane.Sources.Registry.Json;

/// <summary>How the API's JSON is read: names in any case, unknown fields refused; and written: no nulls, indented on request. Immutable.</summary>
[JsonSourceGenerationOptions(
    PropertyNameCaseInsensitive = true,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    Converters = [typeof(DurationConverter)])]
[JsonSerializable(typeof(RegisterRequest))]
[JsonSerializable(typeof(DeregisterRequest))]
[JsonSerializable(typeof(AgentServiceRegistration))]
[JsonSerializable(typeof(AgentCheckRegistration))]
[JsonSerializable(typeof(CheckUpdateRequest))]
[JsonSerializable(typeof(SessionRequest))]
[JsonSerializable(typeof(List<TxnOperation>))]
[JsonSerializable(typeof(IReadOnlyList<NodeAnswer>))]
[JsonSerializable(typeof(IReadOnlyList<InstanceAnswer>))]
[JsonSerializable(typeof(IReadOnlyList<HealthAnswer>))]
[JsonSerializable(typeof(IReadOnlyList<CheckAnswer>))]
[JsonSerializable(typeof(IReadOnlyList<KvAnswer>))]
[JsonSerializable(typeof(IReadOnlyList<SessionAnswer>))]
[JsonSerializable(typeof(IReadOnlyList<MemberAnswer>))]
[JsonSerializable(typeof(IReadOnlyList<string>))]
[JsonSerializable(typeof(IReadOnlyDictionary<string, IReadOnlyList<string>>))]
[JsonSerializable(typeof(IReadOnlyDictionary<string, AgentServiceAnswer>))]
[JsonSerializable(typeof(IReadOnlyDictionary<string, CheckAnswer>))]
[JsonSerializable(typeof(AgentServiceAnswer))]
[JsonSerializable(typeof(NodeServicesAnswer))]
[JsonSerializable(typeof(SessionIdAnswer))]
[JsonSerializable(typeof(TxnAnswer))]
[JsonSerializable(typeof(SelfAnswer))]
[JsonSerializable(typeof(bool))]
[JsonSerializable(typeof(string))]
internal sealed partial class RegistryJson : JsonSerializerContext
{
    private static RegistryJson? indented;

    /// <summary>The same with line breaks, for <c>?pretty</c>.</summary>
    public static RegistryJson Indented => indented ??= new RegistryJson(new JsonSerializerOptions(Default.Options) { WriteIndented = true });
}
