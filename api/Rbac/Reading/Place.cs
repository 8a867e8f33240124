using System.Globalization;

namespace Mesh.Api.Rbac.Reading;

/// <summary>A place in the rules that are read, and where its problems go. The text is made only when there is one. One thread.</summary>
internal sealed class Place(Place? parent, string name, ICollection<string> problems)
{
    public Place At(string field) => new(this, field, problems);

    public Place At(string field, int index) => new(this, string.Create(CultureInfo.InvariantCulture, $"{field}[{index}]"), problems);

    public void Problem(string text) => problems.Add($"{this}: {text}");

    /// <summary>Refuses a matcher this program cannot ask: skipping it would decide something else than was written.</summary>
    public void Unsupported(string why) => Problem($"is not supported: {why}");

    public override string ToString() => parent is null ? name : $"{parent}.{name}";
}
