using System.Collections.Concurrent;
using Mesh.Api.Telemetry;

namespace Mesh.Sidecar.Telemetry;

/// <summary>
/// A counter with labels, for what happens rarely: one number for each combination of values, of which there are few. Beyond
/// <see cref="Most"/> all is counted on <c>other</c>. Thread safe.
/// </summary>
internal sealed class CounterFamily(string name, string help, params string[] labels)
{
    /// <summary>Most combinations.</summary>
    public const int Most = 200;

    private readonly ConcurrentDictionary<string, Member> members = new(StringComparer.Ordinal);

    /// <summary>Prometheus name.</summary>
    public string Name => name;

    /// <summary>One line for people.</summary>
    public string Help => help;

    /// <summary>The numbers there are, in no order.</summary>
    public IEnumerable<Member> Members => members.Values;

    /// <summary>Adds one to the number of these values, given in the order of the labels.</summary>
    public void Add(params string[] values)
    {
        var key = string.Join('\n', values);
        if (!members.TryGetValue(key, out var member))
        {
            if (members.Count >= Most) (key, values) = ("other", [.. labels.Select(_ => "other")]);
            member = members.GetOrAdd(key, _ => new Member(labels, values));
        }

        member.Count.Add();
    }

    /// <summary>The number of these values; 0 when nothing was counted.</summary>
    public long ValueOf(params string[] values) => members.TryGetValue(string.Join('\n', values), out var member) ? member.Count.Value : 0;

    /// <summary>One combination of values and its number.</summary>
    internal sealed class Member(string[] labels, string[] values)
    {
        /// <summary>The number.</summary>
        public Counter Count { get; } = new("", "");

        /// <summary>Its labels as Prometheus text.</summary>
        public byte[] Text { get; } = PrometheusText.Labels([.. labels.Zip(values)]);

        /// <summary>Its labels for System.Diagnostics.Metrics.</summary>
        public KeyValuePair<string, object?>[] Tags { get; } = [.. labels.Zip(values, (l, v) => new KeyValuePair<string, object?>(l, v))];
    }
}
