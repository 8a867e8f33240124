using System.Reflection;
using Xunit.Sdk;

namespace Mesh.Tests;

/// <summary>
/// A row of a theory that only <c>./test.sh --all</c> runs (it sets <c>MESH_TEST_LONG=1</c>): traits are of whole methods, and the other rows stay for every day.
/// A theory needs one row that is not long.
/// </summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
internal sealed class LongInlineDataAttribute(params object?[] data) : DataAttribute
{
    /// <summary>Whether the long groups run, too.</summary>
    public static bool IsOn { get; } = Environment.GetEnvironmentVariable("MESH_TEST_LONG") == "1";

    /// <inheritdoc/>
    public override IEnumerable<object?[]> GetData(MethodInfo testMethod) => IsOn ? [data] : [];
}
