namespace Mesh.ControlPlane.Rules.Documents;

/// <summary>Collects errors and warnings of one file. One thread.</summary>
internal sealed class Findings(string file)
{
    private const int Most = 200;

    /// <summary>The file.</summary>
    public string File { get; } = file;

    /// <summary>What is wrong.</summary>
    public List<RuleError> Errors { get; } = [];

    /// <summary>What has no effect.</summary>
    public List<RuleError> Warnings { get; } = [];

    /// <summary>Adds an error.</summary>
    public void Error(int line, string field, string text)
    {
        if (Errors.Count < Most) Errors.Add(new RuleError(File, line, field, text));
        else if (Errors.Count == Most) Errors.Add(new RuleError(File, line, "", $"there are more than {Most} errors: the rest is not shown"));
    }

    /// <summary>Adds a warning.</summary>
    public void Warning(int line, string field, string text) => Warnings.Add(new RuleError(File, line, field, text));
}
